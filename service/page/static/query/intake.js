/** How an image gets in: dropped anywhere on the view, pasted, chosen, or taken with a phone's camera. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { toast } from "../parts/toasts.js";
import { go } from "../route.js";
import { addressOf, parameters } from "./parameters.js";
import { clearSearch, startSearch } from "./search.js";
import { isFrame, openImage } from "./subject.js";

/** Opens the first of the files; a crop is searched for at once, a whole frame waits for its boxes. */
export async function takeFiles(files) {
  if (!files.length) return;
  if (files.length > 1) toast("Only the first image is searched for. Many images are enrolled in the gallery.");
  const opened = await openImage(files[0]);
  if (!opened) return;
  clearSearch();
  if (parameters.value.record) {
    parameters.set({ ...parameters.value, record: null });
    go(addressOf(parameters.value));
  }
  if (!isFrame(opened)) startSearch();
}

/** Takes files that are dropped or pasted anywhere; returns whether one is being dragged over the page. */
export function useFilesAnywhere() {
  const [isDragged, setDragged] = useState(false);
  // Before anything is seen: what is dropped at once is not lost.
  useLayoutEffect(() => {
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    const listeners = {
      dragover: (event) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        setDragged(true);
      },
      dragleave: (event) => event.relatedTarget === null && setDragged(false),
      drop: (event) => {
        setDragged(false);
        if (!hasFiles(event)) return;
        event.preventDefault();
        takeFiles([...event.dataTransfer.files]);
      },
      paste: (event) => {
        const isIntoField = event.target.closest?.("input, textarea");
        if (!isIntoField) takeFiles([...(event.clipboardData?.files ?? [])]);
      },
    };
    for (const [name, listener] of Object.entries(listeners)) addEventListener(name, listener);
    return () => {
      for (const [name, listener] of Object.entries(listeners)) removeEventListener(name, listener);
    };
  }, []);
  return isDragged;
}

/** The whole intake, while there is nothing to search for. */
export function Intake() {
  return html`
    <div class="intake">
      <${Icon} name="image" size="40" />
      <h2>Drop a picture of a vehicle here</h2>
      <p class="soft">
        or paste it. A crop of one vehicle is searched for as it is; on a whole frame you draw a box around each
        vehicle.
      </p>
      <div class="row">
        <${FileButton} text="Choose a file" icon="upload" primary />
        <${FileButton} text="Take a photo" icon="camera" capture="environment" />
      </div>
      <p class="small faint">
        JPEG, PNG, WebP, AVIF, HEIC, TIFF and others. Pictures that are searched for are not kept.
      </p>
    </div>
  `;
}

/** A button that opens the browser's choice of files, or with `capture` the camera. */
export function FileButton({ text, icon, primary = false, capture = null }) {
  const input = useRef(null);
  const onChange = () => {
    takeFiles([...input.current.files]);
    input.current.value = ""; // so that the same file can be chosen again
  };
  return html`
    <span class=${capture ? "camera-only" : ""}>
      <button class=${`button ${primary ? "primary" : ""}`} onClick=${() => input.current.click()}>
        <${Icon} name=${icon} />${text}
      </button>
      <input hidden type="file" accept=${capture ? "image/*" : null} capture=${capture} ref=${input}
        onChange=${onChange} />
    </span>
  `;
}
