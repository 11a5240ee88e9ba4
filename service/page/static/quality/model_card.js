/** What the model is, and where it comes from. */
import { count, percent, plural } from "../format.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { toast } from "../parts/toasts.js";
import { href } from "../route.js";

export function ModelCard({ model }) {
  const { config, preprocessing, training, evaluation } = model;
  return html`
    <section class="card padded stack wide" aria-labelledby="model-title">
      <h2 id="model-title">Model</h2>
      ${model.warnings.map((text) => html`<p class="note warn" key=${text}><${Icon} name="warning" />${text}</p>`)}
      <${NextModel} next=${model.next_model} />
      <dl class="model-card figures">
        <${Row} name="Network" value=${`${config.architecture} on ${config.backbone}`} />
        <${Row} name="Parameters" value=${count(model.num_parameters)} />
        <${Row} name="Sees"
          value=${`${preprocessing.size_px} × ${preprocessing.size_px} pixels, aligned by ${config.transform}`} />
        <${Row} name="Embedding" value=${`${count(model.embedding_dim)} numbers`} />
        <${Row} name="Trained on" value=${trainedOn(training)} />
        ${evaluation && html`
          <${Row} name="Measured by its makers"
            value=${measured(evaluation)} />
        `}
        <${Row} name="Runs" value=${`in ${model.precision} on ${model.device}`} />
        <dt>Fingerprint</dt>
        <dd class="row"><code class="fingerprint">${model.fingerprint}</code><${Copy} text=${model.fingerprint} /></dd>
      </dl>
    </section>
  `;
}

const Row = ({ name, value }) => html`<dt>${name}</dt><dd>${value}</dd>`;

const measured = ({ cmc, map, dataset }) => `rank 1 ${percent(cmc["1"])}, mAP ${percent(map)} on ${dataset}`;

function trainedOn({ trained, data, num_steps: steps, recipe_name: recipe }) {
  if (trained === false) return "nothing: it is untrained";
  return [data ?? "unknown", steps && plural(steps, "step"), recipe && `recipe ${recipe}`].filter(Boolean).join(", ");
}

function Copy({ text }) {
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => toast("Fingerprint copied"),
      () => toast("The browser does not allow copying"),
    );
  if (!navigator.clipboard) return null; // where the page did not come over HTTPS
  return html`<button class="button icon plain" aria-label="Copy the fingerprint" onClick=${copy}><${Icon}
    name="copy" size="16" /></button>`;
}

/** The model that the settings name, while another one serves. */
function NextModel({ next }) {
  if (!next) return null;
  const id = next.job_url?.split("/").at(-1);
  return html`
    <p class="note accent"><${Icon} name="clock" />
      <span>
        Another model, ${next.fingerprint.slice(0, 12)}, takes over once all records are embedded by it:
        ${" "}${count(next.done)}${next.total === null ? "" : ` of ${count(next.total)}`} are.
        ${" "}${id && html`<a href=${href("jobs", id)}>See the job</a>`}
      </span>
    </p>
  `;
}
