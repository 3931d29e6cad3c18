// What DSPy's sandbox takes from deno.land, so that everything it needs comes from package registries.

/** The lines of a reader such as Deno.stdin, without their ends. */
export async function* readLines(reader) {
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(64 * 1024);
  let rest = "";
  for (let size; (size = await reader.read(chunk)) !== null; ) {
    const lines = (rest + decoder.decode(chunk.subarray(0, size), { stream: true })).split("\n");
    rest = lines.pop();
    yield* lines.map((line) => line.replace(/\r$/, ""));
  }
  rest += decoder.decode();
  if (rest) yield rest;
}
