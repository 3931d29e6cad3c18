/** Types of ports: which fit, and how they look. The same rules as `pipelines/graph/ports.py`, so
 * that a connection can be refused while it is being dragged; the server has the last word. */

export interface TypeTree {
  name: string;
  args: TypeTree[];
}

const SEQUENCES = new Set(["list", "tuple", "set", "frozenset"]);
const LITERAL = "Literal";
const UNION = "Union";
const trees = new Map<string, TypeTree>();
const answers = new Map<string, boolean>();

/** Whether a value of the type `source` may flow into a port of the type `target`. */
export function fits(source: string, target: string): boolean {
  if (source === target || source === "Any" || target === "Any" || target === "str") return true;
  const key = `${source}\n${target}`;
  const known = answers.get(key);
  if (known !== undefined) return known;
  const answer = treeFits(typeTree(source), typeTree(target));
  answers.set(key, answer);
  return answer;
}

function treeFits(source: TypeTree, target: TypeTree): boolean {
  if (source.name === "Any" || target.name === "Any" || isPlain(target, "str")) return true;
  if (same(source, target)) return true;
  if (source.name === UNION) return source.args.some((member) => treeFits(member, target));
  if (target.name === UNION) return target.args.some((member) => treeFits(source, member));
  if (source.name === LITERAL) {
    if (target.name === LITERAL) return true;
    return !target.args.length && source.args.some((value) => isInstance(value.name, target.name));
  }
  if (target.name === LITERAL) {
    return !source.args.length && target.args.some((value) => literalType(value.name) === source.name);
  }
  return containerFits(source, target);
}

function containerFits(source: TypeTree, target: TypeTree): boolean {
  if (source.name === "int" && target.name === "float") return true;
  if (source.name === "bool" && target.name === "int") return true;
  const sequences = SEQUENCES.has(source.name) && SEQUENCES.has(target.name);
  if (source.name !== target.name && !sequences) return false;
  if (!source.args.length || source.args.length !== target.args.length) return true;
  return source.args.every((item, place) => treeFits(item, target.args[place] as TypeTree));
}

function isPlain(tree: TypeTree, name: string): boolean {
  return tree.name === name && !tree.args.length;
}

function same(left: TypeTree, right: TypeTree): boolean {
  return (
    left.name === right.name &&
    left.args.length === right.args.length &&
    left.args.every((item, place) => same(item, right.args[place] as TypeTree))
  );
}

/** The Python type of a literal's text. */
function literalType(text: string): string {
  if (text === "True" || text === "False") return "bool";
  if (text === "None") return "None";
  if (/^[bB]['"]/.test(text)) return "bytes";
  return /^[-+]?[\d_]+$/.test(text) ? "int" : "str";
}

function isInstance(text: string, type: string): boolean {
  const own = literalType(text);
  return own === type || (own === "bool" && type === "int");
}

/** The tree of a type's canonical text. A text that does not parse stands for itself. */
export function typeTree(text: string): TypeTree {
  let tree = trees.get(text);
  if (!tree) {
    tree = read(text.trim());
    trees.set(text, tree);
  }
  return tree;
}

function read(text: string): TypeTree {
  const members = split(text, "|");
  if (members.length > 1) return { name: UNION, args: members.map(read) };
  const open = text.indexOf("[");
  if (open < 1 || !text.endsWith("]") || /['"]/.test(text.slice(0, open))) {
    return { name: text === "NoneType" ? "None" : text, args: [] };
  }
  const name = text.slice(0, open);
  const parts = split(text.slice(open + 1, -1), ",");
  if (name === LITERAL) return { name, args: parts.map((part) => ({ name: part, args: [] })) };
  const args = parts.map(read);
  if (name === "Optional") return { name: UNION, args: [...args, { name: "None", args: [] }] };
  // dspy.Code['python'] is a type of its own, not a container.
  return name.startsWith("dspy.") ? { name: text, args: [] } : { name, args };
}

/** The parts of a text between separators that stand outside brackets and quotes. */
function split(text: string, separator: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let quote = "";
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at] as string;
    if (quote) {
      if (char === "\\") at++;
      else if (char === quote) quote = "";
    } else if (char === "'" || char === '"') quote = char;
    else if (char === "[" || char === "(") depth++;
    else if (char === "]" || char === ")") depth--;
    else if (char === separator && depth === 0) {
      parts.push(text.slice(start, at).trim());
      start = at + 1;
    }
  }
  parts.push(text.slice(start).trim());
  return parts;
}

export type TypeFamily = "str" | "num" | "bool" | "obj" | "doc" | "file" | "any";

export interface TypeLook {
  family: TypeFamily;
  list: boolean;
}

const FAMILIES: Record<string, TypeFamily> = {
  str: "str",
  UUID: "str",
  date: "str",
  datetime: "str",
  int: "num",
  float: "num",
  complex: "num",
  Decimal: "num",
  bool: "bool",
  bytes: "file",
  "dspy.Image": "file",
  "dspy.Audio": "file",
  "dspy.File": "file",
  Any: "any",
};
const LISTS = /^(list|tuple|set|frozenset|Sequence|MutableSequence|Iterable|AbstractSet|MutableSet|Deque)$/;
const DOCUMENTS = /(^|\.)(doc|Doc|Document|Passage|Chunk)$/;

/** Colour and shape of a port: circle for one value, square for a list, diamond for an object, ring
 * for anything. */
export function lookOf(type: string): TypeLook {
  return treeLook(typeTree(type));
}

function treeLook(tree: TypeTree): TypeLook {
  if (tree.name === UNION) {
    const looks = tree.args.filter((member) => member.name !== "None").map(treeLook);
    const first = looks[0];
    const alike = first && looks.every((l) => l.family === first.family && l.list === first.list);
    return alike ? first : { family: "any", list: false };
  }
  if (tree.name === LITERAL) {
    const kinds = new Set(tree.args.map((value) => literalType(value.name)));
    const only = kinds.size === 1 ? [...kinds][0] : undefined;
    return { family: FAMILIES[only ?? ""] ?? "any", list: false };
  }
  if (LISTS.test(tree.name)) {
    const item = tree.args[0];
    return { family: item ? treeLook(item).family : "any", list: true };
  }
  const family = FAMILIES[tree.name] ?? (DOCUMENTS.test(tree.name) ? "doc" : "obj");
  return { family, list: false };
}

/** The `data-type` of a port and its edges, as the stylesheet reads it. */
export function dataType(type: string): string {
  const look = lookOf(type);
  return look.list ? `${look.family} list` : look.family;
}

const LONGEST = 16;

/** The type in the little room a node has; the whole text is in the port's title. */
export function shortType(type: string): string {
  const tree = typeTree(type);
  if (type.startsWith("Optional[")) return `${shortType(type.slice(9, -1))}?`;
  if (tree.name === LITERAL) return `Literal[${tree.args.length}]`;
  if (type.length <= LONGEST) return type;
  if (LISTS.test(tree.name) && tree.args[0]) {
    const inner = tree.args[0].name.replace(/^.*\./, "");
    return `${tree.name}[${inner}]`.slice(0, LONGEST);
  }
  return tree.name === UNION ? "Union" : tree.name.replace(/^.*\./, "").slice(0, LONGEST);
}
