/** JSON to the server and back. */

import { csrfToken } from "../site/requests";

/** Nobody answered, or said to come back later: worth another try. */
export class Unreachable extends Error {}

/** The server will not take this, whatever one does here. */
export class Denied extends Error {
  constructor(readonly status: number) {
    super(DENIALS[status] ?? `The server refused this (${status}).`);
  }
}

const DENIALS: Record<number, string> = {
  400: "The server can't read this edit. Reload the page.",
  401: "You are signed out. Your edits are kept here: sign in, then reload.",
  403: "You may not edit this any more. Your edits are kept here: reload to see.",
  404: "This pipeline is gone, or not yours to see any more. Your edits are kept here.",
};
const PATIENCE = 20_000;

export async function post<Body>(address: string, body: object): Promise<Body> {
  const response = await reach(address, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() },
    body: JSON.stringify(body),
  });
  return (await response.json()) as Body;
}

/** Null: there is nothing new. */
export async function get<Body>(address: string): Promise<Body | null> {
  const response = await reach(address, {});
  return response.status === 204 ? null : ((await response.json()) as Body);
}

/** A piece of a page. */
export async function text(address: string): Promise<string> {
  return (await reach(address, {})).text();
}

async function reach(address: string, options: RequestInit): Promise<Response> {
  let response: Response;
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    response = await fetch(address, { ...options, redirect: "manual", signal });
  } catch {
    throw new Unreachable("The server can't be reached.");
  }
  // To the sign-in page.
  if (response.type === "opaqueredirect") throw new Denied(401);
  if (response.status >= 500 || response.status === 429) throw new Unreachable("The server is busy.");
  if (!response.ok && response.status !== 422) throw new Denied(response.status);
  return response;
}
