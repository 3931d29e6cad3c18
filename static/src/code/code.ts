/** What `site/codefields.ts` loads when a page has a field with code in it. */

import { CodeField } from "./field";

export function attach(host: HTMLElement, box: HTMLTextAreaElement): { release(): void } {
  return new CodeField(host, box);
}
