/** Who else has the pipeline open: their circles in the bar, and what they have selected. Nothing of it
 * is stored anywhere; whoever is not heard of for a while is gone. */

import type { Mark } from "../canvas/types";
import type { Person } from "./draft";

interface Present {
  person: Person;
  node: string | null;
  heard: number;
}

export const COLOURS = 5;
/** Their sockets say every ten seconds that they are there. */
export const SILENT = 25_000;

export class People {
  private readonly present = new Map<string, Present>();

  constructor(private readonly me: number) {}

  heard(key: string, person: Person, node: string | null, now: number): void {
    this.present.set(key, { person, node, heard: now });
  }

  left(key: string): void {
    this.present.delete(key);
  }

  clear(): void {
    this.present.clear();
  }

  /** Lets go of who is silent; whether somebody was. */
  forget(now: number): boolean {
    const gone = [...this.present].filter(([, each]) => now - each.heard > SILENT);
    for (const [key] of gone) this.present.delete(key);
    return gone.length > 0;
  }

  /** Each person once, however many tabs they have, with a colour that nobody else has while there are
   * enough. Without oneself. */
  others(): (Person & { colour: number })[] {
    const people = new Map<number, Person>();
    for (const { person } of this.present.values()) if (person.id !== this.me) people.set(person.id, person);
    const taken = new Set<number>();
    return [...people.values()]
      .sort((one, other) => one.id - other.id)
      .map((person) => {
        let colour = person.id % COLOURS;
        for (let tries = 1; taken.has(colour) && tries < COLOURS; tries++) colour = (colour + 1) % COLOURS;
        taken.add(colour);
        return { ...person, colour };
      });
  }

  /** By node, whose frame it has. */
  marks(): Record<string, Mark> {
    const colours = new Map(this.others().map(({ id, colour }) => [id, colour]));
    const marks: Record<string, Mark> = {};
    for (const { person, node } of this.present.values()) {
      const colour = colours.get(person.id);
      if (!node || colour === undefined) continue;
      const first = firstName(person.name);
      const known = marks[node];
      if (!known) marks[node] = { names: first, colour };
      else if (!known.names.split(", ").includes(first)) known.names += `, ${first}`;
    }
    return marks;
  }
}

export function firstName(name: string): string {
  return name.trim().split(/\s+/)[0] ?? name;
}

/** Two letters, as the server makes them. */
export function initials(name: string): string {
  const words = name.split(/[\s._]+/).filter(Boolean);
  const letters = words.length > 1 ? words.slice(0, 2).map((word) => word[0]) : [...name].slice(0, 2);
  return letters.join("").toUpperCase();
}

const SHOWN = 5;

export function showPeople(place: HTMLElement, people: (Person & { colour: number })[]): void {
  const rest = people.length - SHOWN;
  const circles = people.slice(0, rest > 0 ? SHOWN - 1 : SHOWN).map((person) => {
    const circle = item(initials(person.name), person.name);
    circle.dataset.who = String(person.colour);
    return circle;
  });
  const more = people.slice(circles.length).map((person) => person.name);
  if (more.length) circles.push(item(`+${more.length}`, more.join(", ")));
  place.replaceChildren(...circles);
  place.nextElementSibling?.toggleAttribute("hidden", !people.length);
}

function item(text: string, title: string): HTMLElement {
  const circle = document.createElement("li");
  circle.className = "avatar";
  circle.textContent = text;
  circle.title = title;
  circle.setAttribute("aria-label", title);
  return circle;
}
