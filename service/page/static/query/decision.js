/** Whether rank 1 is to be believed, in words. */
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";
import { count, plural, probability } from "../format.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";

export const DECISIONS = {
  match: {
    tone: "good",
    icon: "check",
    short: "Match",
    title: "This vehicle is in the gallery",
    promise: "Of a thousand vehicles that nobody has enrolled, at most one comes so near.",
  },
  uncertain: {
    tone: "warn",
    icon: "warning",
    short: "Possible",
    title: "Possibly this vehicle: look closely",
    promise: "Of a hundred vehicles that nobody has enrolled, at most one comes so near.",
  },
  no_match: {
    tone: "", // an answer as good as any other, no failure
    icon: "cross",
    short: "No match",
    title: "Probably not in the gallery",
    promise: "Nothing is near enough to be believed. The nearest are shown all the same.",
  },
  uncalibrated: {
    tone: "",
    icon: "info",
    short: "Cannot say",
    title: "Nobody can say whether the first is right",
    promise: null,
  },
};

const NOTHING_SEARCHED = { tone: "", icon: "search", title: "Nothing to compare with", promise: null };

export function Decision({ answer, asked, timing }) {
  const { tone, icon, title, promise } = answer.searched ? DECISIONS[answer.decision] : NOTHING_SEARCHED;
  const [nearest] = answer.matches;
  return html`
    <div class=${`decision ${tone}`} role="status">
      <span class="decision-icon"><${Icon} name=${icon} size="24" /></span>
      <div class="stack tight">
        <h2>${title}</h2>
        ${nearest && answer.decision !== "no_match" && nearest.probability !== null && html`
          <p>
            ${nearest.identity ? html`<strong>${nearest.identity}</strong>` : "The first match"}${" "}
            with a probability of <strong class="figures">${probability(nearest.probability)}</strong>
          </p>
        `}
        <p class="soft">
          ${!answer.searched
            ? html`
                No record passes the conditions, or the gallery is empty. Take conditions off, or enrol vehicles
                in the <a href="#/gallery">gallery</a>.
              `
            : (promise ?? html`<${WhyUncalibrated} answer=${answer} asked=${asked} />`)}
        </p>
        <p class="small faint figures" title=${stages(timing)}>
          ${plural(answer.searched, "record")} searched in ${Math.max(1, Math.round(timing.total))} ms
        </p>
      </div>
    </div>
  `;
}

const stages = ({ decode, embed, search }) =>
  `reading ${decode.toFixed(0)} ms, network ${embed.toFixed(0)} ms, search ${search.toFixed(0)} ms`;

/** Why distances say nothing about this answer, and what to do. */
function WhyUncalibrated({ answer, asked }) {
  const { rerank, expand } = asked.parameters;
  const { data: model } = useResource((signal) => call("model", { signal }), []);
  if (rerank || expand) {
    return "Re-ranking and expansion order matches otherwise than by their distance, which alone was calibrated.";
  }
  if (!model) return "The model's calibration does not reach this answer.";
  const largest = model.calibration?.sizes?.at(-1);
  if (!largest) return html`The model is not calibrated: nobody has measured what its distances mean. <${Remedy} />`;
  if (answer.searched <= largest) return "The model's calibration does not reach this answer.";
  return html`
    The model was calibrated for up to ${count(largest)} records, and ${count(answer.searched)} were searched.
    Narrow the search by conditions, or calibrate anew. <${Remedy} />
  `;
}

const Remedy = () => html`<a href="#/jobs">Calibrate on the gallery's own vehicles</a>`;
