/** What a resource (`api/resource.js`) has loaded, or why not; what is there stays while the service is away. */
import { html } from "../html.js";
import { Failure, Loading } from "./states.js";

/** @param children draws the data: a function of them. */
export function Loaded({ resource: { data, problem, reload }, text, children }) {
  if (problem && !(data && problem.kind === "offline")) return html`<${Failure} problem=${problem} retry=${reload} />`;
  return data ? children(data) : html`<${Loading} text=${text} />`;
}
