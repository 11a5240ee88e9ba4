/** A part of the page whose module is loaded when it is first shown. */
import { useEffect, useState } from "preact/hooks";
import { html } from "../html.js";
import { Failure, Loading } from "./states.js";

/** @param load gives the module, whose export `name` is drawn with the other properties. */
export function Lazy({ load, name, ...properties }) {
  const [state, setState] = useState({});
  const start = () => load().then((module) => setState({ Part: module[name] }), (problem) => setState({ problem }));
  useEffect(() => void start(), []);
  if (state.problem) return html`<${Failure} problem=${state.problem} retry=${start} />`;
  return state.Part ? html`<${state.Part} ...${properties} />` : html`<${Loading} />`;
}
