/** The evaluation on the held-out set: vehicles that the model has never seen. */
import { useState } from "preact/hooks";
import { useEvery } from "../api/every.js";
import { count, percent } from "../format.js";
import { html } from "../html.js";
import { Evaluation } from "../parts/evaluation.js";
import { Icon } from "../parts/icon.js";
import { ProblemNote } from "../parts/problem_note.js";
import { JobNote } from "./job_note.js";
import { useStartedJob } from "./use_started_job.js";

const EVERY_MS = 2_000;

export function HeldOut({ metrics, model, reload }) {
  const { heldout, cmc } = metrics;
  const [problem, setProblem] = useState(null);
  const { start, job, isActive } = useStartedJob(reload);
  useEvery(heldout.state === "running" || isActive ? EVERY_MS : null, reload);
  const evaluate = () => {
    setProblem(null);
    start({ kind: "evaluate" }).catch(setProblem);
  };
  return html`
    <section class="card padded stack" aria-labelledby="evaluation-title">
      <div class="row spread">
        <h2 id="evaluation-title">How often the right vehicle comes first</h2>
        ${heldout.state !== "absent" && html`
          <button class="button" disabled=${heldout.state === "running" || isActive} onClick=${evaluate}>
            <${Icon} name="turn" size="16" />Evaluate now
          </button>
        `}
      </div>
      <${ProblemNote} problem=${problem} />
      ${job && html`<${JobNote} job=${job} />`}
      ${!job && heldout.state === "running" && html`<${Running} heldout=${heldout} />`}
      ${heldout.state === "failed" && html`<p class="note bad" role="alert"><${Icon}
        name="warning" />The last evaluation failed: ${heldout.error}</p>`}
      ${cmc ? html`<${Evaluation} evaluation=${metrics} />` : html`<${Nothing} heldout=${heldout} model=${model} />`}
    </section>
  `;
}

function Running({ heldout: { num_done: done, num_total: all } }) {
  return html`
    <div class="stack tight" role="status">
      <div class="progress"><div style=${{ "--share": `${all ? (100 * done) / all : 0}%` }}></div></div>
      <p class="small soft figures">The held-out set is being evaluated: ${count(done)} of ${count(all)} images</p>
    </div>
  `;
}

function Nothing({ heldout, model: { evaluation } }) {
  return html`
    ${heldout.state === "absent" && html`
      <p class="soft">
        This service has no held-out set. Start it with <code>SANET_HELDOUT</code> and the manifest of vehicles whose
        identity is known, or <a href="#/jobs/new/evaluate">evaluate a manifest of your own</a>.
      </p>
    `}
    ${evaluation && html`
      <p class="figures">
        Its makers measured ${percent(evaluation.cmc["1"])} at rank 1 and a mAP of ${percent(evaluation.map)} on
        ${" "}${evaluation.dataset}.
      </p>
    `}
  `;
}
