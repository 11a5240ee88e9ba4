/** When to believe rank 1: the calibration that counts, and how to get one of the own vehicles. */
import { useState } from "preact/hooks";
import { call } from "../api/client.js";
import { count, plural } from "../format.js";
import { html } from "../html.js";
import { Confirm } from "../parts/confirm.js";
import { Icon } from "../parts/icon.js";
import { OperatingPoint } from "../parts/operating_point.js";
import { JobNote } from "./job_note.js";
import { useStartedJob } from "./use_started_job.js";

export function Decisions({ metrics: { calibration }, stats, reload }) {
  const [asks, setAsks] = useState(null);
  const { start, job, isActive } = useStartedJob(reload);
  const isOwn = calibration && calibration.source !== "checkpoint";
  const forget = async () => {
    await call("model/calibration", { method: "DELETE" });
    reload();
  };
  return html`
    <section class="card padded stack tall" aria-labelledby="decisions-title">
      <div class="row spread">
        <h2 id="decisions-title">When to believe rank 1</h2>
        <div class="row">
          ${isOwn && html`<button class="button plain"
            onClick=${() => setAsks("forget")}>Back to the model's own</button>`}
          <button class="button" disabled=${isActive} onClick=${() => setAsks("calibrate")}>
            <${Icon} name="gauge" size="16" />Calibrate on my vehicles
          </button>
        </div>
      </div>
      ${job && html`<${JobNote} job=${job} />`}
      ${calibration
        ? html`<${On} calibration=${calibration} isOwn=${isOwn} stats=${stats} />
            <${OperatingPoint} calibration=${calibration} numRecords=${stats.searchable} />`
        : html`
            <p class="note warn"><${Icon} name="warning" />
              The model is not calibrated: answers have distances, but nobody knows from which one on a match is to be
              believed.
            </p>
          `}
    </section>
    ${asks === "calibrate" && html`
      <${Confirm} title="Calibrate on this gallery's vehicles?" action="Calibrate"
        onConfirm=${() => start({ kind: "calibrate" })} onClose=${() => setAsks(null)}>
        <p>
          It takes records whose identity is known: a hundred vehicles or more, some of them with two records.
          This gallery has ${plural(stats.num_identities, "identity", "identities")}.
        </p>
        <p>When it is done, answers follow it. You can go back to the model's own calibration at any time.</p>
        <p><a href="#/jobs/new/calibrate">Choose records, or only measure</a></p>
      <//>
    `}
    ${asks === "forget" && html`
      <${Confirm} title="Back to the model's own calibration?" action="Go back" onConfirm=${forget}
        onClose=${() => setAsks(null)}>
        <p>Answers follow what the model was delivered with. To have your own again, calibrate again.</p>
      <//>
    `}
  `;
}

function On({ calibration: { fitted_on: on, sizes, source }, isOwn, stats }) {
  const largest = sizes.at(-1);
  const isTooLarge = stats.searchable > 1.1 * largest;
  return html`
    <p class="figures">
      Calibrated on ${plural(on.num_images, "image")} of ${plural(on.num_vehicles, "vehicle")}:
      ${" "}${isOwn ? "records of this gallery" : html`${on.data}, which came with the ${source}`}.
      ${" "}It holds for searches among ${count(sizes[0])} to ${count(largest)} records.
    </p>
    ${isTooLarge && html`
      <p class="note warn"><${Icon} name="warning" />
        This gallery is larger: answers stay without a decision, unless conditions narrow the search.
      </p>
    `}
    ${!isOwn && html`
      <p class="note"><${Icon} name="info" />
        Your vehicles are others: expect more strangers among the matches than it promises, until you calibrate on your
        own.
      </p>
    `}
  `;
}
