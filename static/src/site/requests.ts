/** What goes with every request of htmx, and what is done when one fails. */

import { toast } from "./toasts";

interface Context {
  request: { headers: Record<string, string>; method: string };
  response?: { raw?: Response; status: number };
  target?: Element;
}

export function csrfToken(): string {
  return document.querySelector<HTMLMetaElement>("meta[name=csrf]")?.content ?? "";
}

export function requests(): void {
  document.addEventListener("htmx:config:request", (event) => {
    const { ctx } = (event as CustomEvent<{ ctx: Context }>).detail;
    ctx.request.headers["X-CSRFToken"] = csrfToken();
  });
  document.addEventListener("htmx:before:response", (event) => {
    const { ctx } = (event as CustomEvent<{ ctx: Context }>).detail;
    const status = ctx.response?.status ?? 0;
    if (status < 400 || status === 422) return;
    // An error's page is no fragment: what is there stays, and the reason is said.
    event.preventDefault();
    toast(REASONS[status] ?? "The server could not do this. Nothing was lost; try again.", "failed");
  });
  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx } = (event as CustomEvent<{ ctx: Context }>).detail;
    // htmx hands styles on to elements of the same id as attributes, which our policy forbids. A text
    // box that somebody has made larger has one.
    for (const old of ctx?.target?.querySelectorAll("[id][style]") ?? []) old.removeAttribute("style");
  });
  document.addEventListener("htmx:error", () => {
    if (!navigator.onLine) toast("You are offline. Nothing was sent.", "failed");
  });
}

const REASONS: Record<number, string> = {
  401: "You are signed out. Sign in in another tab, then try again.",
  403: "You may not do this here. Ask an owner of the project.",
  404: "This is gone, or not yours to see. Reload the page.",
  413: "This is larger than DSPex takes.",
  503: "The server is busy. Try again in a moment.",
};
