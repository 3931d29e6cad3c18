/** The editor's own commands in "Go to anything": they come before the places that the server finds. */

export interface Command {
  title: string;
  keys: string;
  does(): void;
}

const LIST = "goto-places";

export function commandList(commands: Command[]): void {
  const list = document.getElementById(LIST);
  const dialog = document.getElementById("goto") as HTMLDialogElement | null;
  if (!list || !dialog) return;
  // The server's answer replaces the list; ours are put on top of it each time.
  new MutationObserver(() => {
    const fresh = list.querySelector<HTMLElement>("[data-q]");
    if (!fresh || list.querySelector("[data-command]")) return;
    const options = matching(commands, fresh.dataset.q ?? "").map((command, at) =>
      option(command, at, dialog),
    );
    if (!options.length) return;
    list.querySelector(":scope > p")?.remove(); // that nothing was found
    fresh.after(...options);
  }).observe(list, { childList: true });
}

/** Those that the words name; none before something is typed, as places are what most people want. */
export function matching(commands: Command[], typed: string): Command[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  return commands.filter(({ title }) => words.every((word) => title.toLowerCase().includes(word)));
}

function option({ title, keys, does }: Command, at: number, dialog: HTMLDialogElement): HTMLElement {
  const option = document.createElement("div");
  option.setAttribute("role", "option");
  option.id = `command-${at}`;
  option.dataset.command = title;
  const name = document.createElement("span");
  name.textContent = title;
  const end = document.createElement("span");
  end.className = "end meta";
  end.textContent = keys || "Command";
  option.append(name, end);
  option.addEventListener("click", () => {
    dialog.close();
    does();
  });
  return option;
}
