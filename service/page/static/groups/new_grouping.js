/** Starts a job that proposes groups. */
import { useId, useState } from "preact/hooks";
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";
import { count, distance } from "../format.js";
import { html } from "../html.js";
import { Dialog } from "../parts/dialog.js";
import { ConditionFields, fromDraft, toDraft } from "../parts/filters.js";
import { ProblemNote } from "../parts/problem_note.js";

export function NewGrouping({ onClose, onStarted }) {
  const help = useId();
  const [conditions, setConditions] = useState(() => toDraft({}));
  const [maxDistance, setMaxDistance] = useState("");
  const [state, setState] = useState({ running: false, problem: null });
  const { data: known } = useResource(calibratedDistance, []);
  const start = async (event) => {
    event.preventDefault();
    setState({ running: true, problem: null });
    try {
      const json = { kind: "group", records: fromDraft(conditions) };
      if (maxDistance) json.max_distance = Number(maxDistance);
      onStarted(await call("jobs", { method: "POST", json }));
    } catch (problem) {
      setState({ running: false, problem });
    }
  };
  return html`
    <${Dialog} title="Propose groups" onClose=${onClose}>
      <form class="stack" onSubmit=${start}>
        <fieldset class="plain-fieldset stack tight">
          <legend><h3>Which records?</h3></legend>
          <p class="small soft">Those that pass all of these; without any, all records. At most 100,000.</p>
          <div class="filters"><${ConditionFields} draft=${conditions} onChange=${setConditions} /></div>
        </fieldset>
        <div class="field">
          <label for=${`${help}-input`}><h3>How alike?</h3></label>
          <input class="input figures" id=${`${help}-input`} type="number" min="0.000001" step="any"
            value=${maxDistance} aria-describedby=${help}
            placeholder=${known ? `as calibrated, about ${distance(known.distance)}` : "1.1"}
            onInput=${(event) => setMaxDistance(event.target.value)} />
          <small id=${help}>
            The largest mean distance between the records of two groups that become one. Smaller: surer groups, but one
            vehicle may be in several. Larger: more complete groups, but more mistakes to take out.${" "}
            ${known
              ? `Left empty, the calibration decides: ${distance(known.distance)} for ${count(known.total)} records.`
              : "Needed here, because the model is not calibrated for so many records."}
          </small>
        </div>
        <${ProblemNote} problem=${state.problem} />
        <footer>
          <button class="button" type="button" onClick=${onClose}>Cancel</button>
          <button class="button primary" disabled=${state.running}>Propose groups</button>
        </footer>
      </form>
    <//>
  `;
}

/** `{distance, total}`: up to which distance two of all records are called the same vehicle; null if nobody knows. */
async function calibratedDistance(signal) {
  const headers = { Accept: "application/json" };
  const [{ calibration }, { total }] = await Promise.all([
    call("metrics", { headers, signal }),
    call("gallery/stats", { query: { limit: 0 }, signal }),
  ]);
  if (!calibration || !total || total > 1.1 * calibration.sizes.at(-1)) return null;
  return { distance: interpolated(calibration.sizes, calibration.uncertain_distance, total), total };
}

/** Linear in the logarithm of the number of records, as the service does it. */
function interpolated(sizes, distances, total) {
  const next = sizes.findIndex((size) => size >= total);
  if (next <= 0) return distances.at(next === 0 ? 0 : -1);
  const share = Math.log(total / sizes[next - 1]) / Math.log(sizes[next] / sizes[next - 1]);
  return distances[next - 1] + share * (distances[next] - distances[next - 1]);
}
