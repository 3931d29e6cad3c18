/** What every page has: htmx, the theme, dialogs, shortcuts, toasts. */

import "htmx.org";
import "htmx.org/dist/ext/hx-ws.js";
import { codeFields } from "./codefields";
import { dialogs } from "./dialogs";
import { goto } from "./goto";
import { guard } from "./guard";
import { requests } from "./requests";
import { shortcuts } from "./shortcuts";
import { theme } from "./theme";
import { toasts } from "./toasts";

codeFields();
requests();
theme();
dialogs();
goto();
guard();
shortcuts();
toasts();
document.querySelector<HTMLFormElement>("form[data-sends-itself]")?.requestSubmit();
