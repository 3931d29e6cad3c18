/** What pages that show runs have besides what every page has. */

import { values } from "./values";
import { chooser } from "./choosing";
import "./live";
import { steps } from "./steps";
import "./workers";

steps();
values();
chooser();
