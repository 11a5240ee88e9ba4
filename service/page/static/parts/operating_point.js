/**
 * When rank 1 is to be believed: thresholds, what they promise, and what was measured, for one size of the gallery.
 * `calibration` is as `GET /metrics` and `GET /model` have it; the report of a job `calibrate` has its parts.
 */
import { useState } from "preact/hooks";
import { count, distance, percent, plural } from "../format.js";
import { html } from "../html.js";
import { LineChart, SHARE } from "./line_chart.js";

const COLUMNS = [
  "Distance up to",
  "Strangers: promised",
  "Strangers: measured",
  "Known vehicles found",
  "Wrong vehicle",
];
const DECISIONS = { match: "Match", match_or_uncertain: "Match or uncertain" };

/** @param numRecords of the gallery; the nearest size that was measured is shown first. */
export function OperatingPoint({ calibration, numRecords }) {
  const { measured, match_distance: match, uncertain_distance: uncertain, sizes } = calibration;
  const shown = measured?.sizes ?? [];
  const [chosen, setChosen] = useState(null);
  if (!shown.length) return html`<p class="soft">Nothing was measured for this calibration.</p>`;
  const index = chosen ?? nearestSize(shown, numRecords ?? 0);
  const size = shown[index];
  const at = sizes.indexOf(size.num_records);
  const distances = { match: match[at], match_or_uncertain: uncertain[at] };
  return html`
    <div class="row" role="group" aria-label="Size of the gallery">
      <span class="small soft">When so many records are searched:</span>
      ${shown.map(({ num_records: number }, one) => html`
        <button key=${number} class="button small-button figures" aria-pressed=${one === index}
          onClick=${() => setChosen(one)}>
          ${count(number)}
        </button>
      `)}
    </div>
    <${Decisions} decisions=${size.decisions} distances=${distances} />
    <div class="chart-pair"><${Roc} size=${size} /><${Reliability} size=${size} /></div>
    <p class="small soft figures">
      Measured with ${plural(size.num_known, "query", "queries")} for
      ${" "}${plural(size.num_known_vehicles, "vehicle")} of the gallery and
      ${" "}${plural(size.num_unknown, "query", "queries")} for
      ${" "}${plural(size.num_unknown_vehicles, "vehicle")} that are not in it.
      ${" "}Of the known, ${percent(size.rank1_of_known.share)} come first.
      ${" "}Probabilities are off by ${percent(size.ece)} on average.
    </p>
  `;
}

function nearestSize(sizes, numRecords) {
  const off = ({ num_records: number }) => Math.abs(Math.log(number / Math.max(1, numRecords)));
  return sizes.reduce((best, size, index) => (off(size) < off(sizes[best]) ? index : best), 0);
}

function Decisions({ decisions, distances }) {
  return html`
      <table class="stacked-table figures">
        <thead>
          <tr><th scope="col">Decision</th>${COLUMNS.map((title) => html`<th scope="col"
            key=${title}>${title}</th>`)}</tr>
        </thead>
        <tbody>
          ${Object.entries(DECISIONS).map(([name, title]) => {
            const { promised, false_accepts, true_accepts, wrong_accepts } = decisions[name];
            const cells = [
              distances[name] === undefined ? "–" : distance(distances[name]),
              small(promised),
              share(false_accepts, small),
              share(true_accepts, percent),
              share(wrong_accepts, small),
            ];
            return html`
              <tr key=${name}>
                <th scope="row">${title}</th>
                ${cells.map((cell, index) => html`<td key=${index}
                  data-label=${COLUMNS[index]}><span>${cell}</span></td>`)}
              </tr>
            `;
          })}
        </tbody>
      </table>
  `;
}

const small = (value) => percent(value, value < 0.01 ? 2 : 1);

function share({ share: value, interval }, format) {
  return html`${format(value)} <span
    class="small faint interval">${format(interval[0])} – ${format(interval[1])}</span>`;
}

function Roc({ size }) {
  const points = size.roc.map((one) => [one.false_accepts, one.true_accepts]);
  const [min, max] = [points[0][0], points.at(-1)[0]];
  const ticks = [0.0001, 0.001, 0.01, 0.1, 1].filter((tick) => tick >= min / 1.01 && tick <= max * 1.01);
  const said = points.map(([x, y]) => `${percent(y)} at ${percent(x, 2)}`).join(", ");
  const format = (value) => `${Number((100 * value).toPrecision(1))} %`;
  const chosen = Object.keys(DECISIONS).map((name) => {
    const { false_accepts, true_accepts } = size.decisions[name];
    return [Math.max(points[0][0], false_accepts.share), true_accepts.share];
  });
  return html`
    <div class="stack tight">
      <h3>What a stricter threshold costs</h3>
      <${LineChart}
        label=${`Known vehicles found against strangers accepted: ${said}`}
        x=${{ label: "Strangers accepted", min, max, isLog: true, ticks, format }}
        y=${{ ...SHARE, label: "Known vehicles found" }}
        lines=${[
          { name: "roc", points },
          { name: "decisions", points: chosen, tone: "dots", hasDots: true },
        ]} />
    </div>
  `;
}

function Reliability({ size }) {
  const points = size.reliability.map(({ probability, right }) => [probability, right]);
  const said = points.map(([x, y]) => `${percent(y)} at ${percent(x)}`).join(", ");
  return html`
    <div class="stack tight">
      <h3>Are probabilities true?</h3>
      <${LineChart}
        label=${`How often rank 1 is right against its probability: ${said}`}
        x=${{ ...SHARE, label: "Probability" }}
        y=${{ ...SHARE, label: "Right in fact" }}
        lines=${[{ name: "reliability", points, hasDots: true }]} hasDiagonal />
    </div>
  `;
}
