/** Where one is: `#/gallery?camera=gate` is `{view: "gallery", rest: [], query: {camera: ["gate"]}}`. */
import { queryString } from "./api/client.js";
import { Store } from "./store.js";

export const route = new Store(parse(location.hash));
addEventListener("hashchange", () => route.set(parse(location.hash)));

function parse(hash) {
  const [path, text = ""] = hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = path.split("/").map(decoded);
  const query = Object.create(null); // an address may name anything, such as `constructor`
  for (const [name, value] of new URLSearchParams(text)) (query[name] ??= []).push(value);
  return { view: view || "query", rest, query };
}

/** An address that somebody typed may have a `%` that means nothing else. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a view, for a link: `href("jobs", id)`, `href("gallery", {camera: "gate"})`. */
export function href(view, ...parts) {
  const query = typeof parts.at(-1) === "object" ? parts.pop() : {};
  return `#/${[view, ...parts].map(encodeURIComponent).join("/")}${queryString(query)}`;
}

/** Goes there; with `replace`, without a new entry in the history. */
export function go(address, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, "", address);
    route.set(parse(location.hash));
  } else location.hash = address;
}
