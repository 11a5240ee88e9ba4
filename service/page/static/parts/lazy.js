/** A part of the page whose module is loaded when it is first shown. */
import { useEffect, useState } from "preact/hooks";
import { checkConnection, connection } from "../api/connection.js";
import { Problem } from "../api/problem.js";
import { html } from "../html.js";
import { Failure, Loading } from "./states.js";
import { useAttempt } from "./use_attempt.js";

/** @param load gives the module, whose export `name` is drawn with the other properties. */
export function Lazy({ load, name, ...properties }) {
  const [{ Part, problem }, setState] = useState({});
  const attempt = useAttempt(Boolean(problem));
  const start = () => {
    moduleOf(load).then(
      (module) => setState({ Part: module[name] }),
      (reason) => setState({ problem: reason }),
    );
  };
  useEffect(start, [attempt]);
  // Some browsers keep that a module could not be had, until the whole page is loaded anew.
  const retry = problem?.kind === "offline" ? start : () => location.reload();
  if (problem) return html`<${Failure} problem=${problem} retry=${retry} />`;
  return Part ? html`<${Part} ...${properties} />` : html`<${Loading} />`;
}

/** The module; asked for once more if it could not be had although the service answers. */
async function moduleOf(load) {
  try {
    return await load();
  } catch {
    await checkConnection();
    if (connection.value === "offline") throw Problem.offline();
    return load();
  }
}
