/** Above the matches: how many there are and were judged, and what can be taken away. */
import { useState } from "preact/hooks";
import { plural } from "../format.js";
import { html } from "../html.js";
import { saveBlob } from "../parts/download.js";
import { Icon } from "../parts/icon.js";
import { toast, toastProblem } from "../parts/toasts.js";
import { useStore } from "../store.js";
import { copyText } from "./copy_text.js";
import { judgedCsv } from "./judged_csv.js";
import { judgements, judgementsOf } from "./judgements.js";
import { figurePng, MOST_ROWS } from "./figure_png.js";

export function Exports({ result, answer }) {
  const all = useStore(judgements);
  const [isDrawing, setDrawing] = useState(false);
  const judged = Object.values(judgementsOf(all, answer));
  const right = judged.filter((one) => one === "right").length;
  const stamp = () => new Date().toISOString().slice(0, 19).replaceAll(":", "-");
  const saveCsv = () => saveBlob(new Blob([judgedCsv(result, all)], { type: "text/csv" }), `matches-${stamp()}.csv`);
  const savePicture = async () => {
    if (result.answers.length > MOST_ROWS) toast(`The picture shows the first ${MOST_ROWS} boxes.`);
    setDrawing(true);
    try {
      saveBlob(await figurePng(result, all), `matches-${stamp()}.png`);
    } catch (problem) {
      toastProblem(problem);
    } finally {
      setDrawing(false);
    }
  };
  const share = async () => {
    const isCopied = await copyText(location.href);
    toast(isCopied ? "The link is copied. Whoever may use this service sees the same query." : location.href);
  };
  return html`
    <div class="row spread exports">
      <div class="row">
        <h2>${plural(answer.matches.length, "match", "matches")}</h2>
        ${judged.length > 0 && html`
          <span class="small soft figures">${right} right, ${judged.length - right} wrong</span>
        `}
      </div>
      <div class="row">
        ${result.asked.record && html`
          <button class="button" onClick=${share}><${Icon} name="link" size="18" />Copy link</button>
        `}
        <button class="button" onClick=${saveCsv}><${Icon} name="download" size="18" />CSV</button>
        <button class="button" disabled=${isDrawing} onClick=${savePicture}>
          <${Icon} name="image" size="18" />Picture
        </button>
      </div>
    </div>
  `;
}
