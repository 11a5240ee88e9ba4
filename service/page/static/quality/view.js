/** How good the system is, and how it does: evaluation, decisions, alignment, service, model. */
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";
import { html } from "../html.js";
import { Failure, Loading } from "../parts/states.js";
import { AlignmentExamples } from "./alignment_examples.js";
import { Damage } from "./damage.js";
import { Decisions } from "./decisions.js";
import { HeldOut } from "./held_out.js";
import { Live } from "./live.js";
import { ModelCard } from "./model_card.js";

export function View() {
  const metrics = useResource((signal) => call("metrics", { headers: { Accept: "application/json" }, signal }), []);
  const model = useResource((signal) => call("model", { signal }), []);
  const stats = useResource((signal) => call("gallery/stats", { query: { limit: 1 }, signal }), []);
  const reload = () => [metrics, model, stats].forEach((one) => one.reload());
  const problem = [metrics, model, stats].find((one) => one.problem && !one.data)?.problem;
  const isLoaded = metrics.data && model.data && stats.data;
  return html`
    <div class="view-head"><h1>Quality</h1></div>
    ${!isLoaded && problem && html`<${Failure} problem=${problem} retry=${reload} />`}
    ${!isLoaded && !problem && html`<${Loading} text="Loading figures" />`}
    ${isLoaded && html`
      <div class="quality">
        <${Damage} stats=${stats.data} />
        <${HeldOut} metrics=${metrics.data} model=${model.data} reload=${metrics.reload} />
        <${Decisions} metrics=${metrics.data} stats=${stats.data} reload=${reload} />
        <${Live} />
        <${AlignmentExamples} />
        <${ModelCard} model=${model.data} />
      </div>
    `}
  `;
}
