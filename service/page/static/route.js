/** Where one is: `#/gallery?camera=gate` is `{view: "gallery", rest: [], query: {camera: ["gate"]}}`. */
import { queryString } from "./api/client.js";
import { Store } from "./store.js";

export const route = new Store(parse(location.hash));
addEventListener("hashchange", () => route.set(parse(location.hash)));

function parse(hash) {
  const [path, text = ""] = hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = path.split("/").map(decodeURIComponent);
  const query = {};
  for (const [name, value] of new URLSearchParams(text)) (query[name] ??= []).push(value);
  return { view: view || "query", rest, query };
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
