/** The image with its boxes: drawn, moved and resized by mouse, touch and keyboard; large frames are zoomed. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { useStore } from "../store.js";
import { boxWords } from "./box_geometry.js";
import { handleBoxKey, KEYS_HELP } from "./box_keys.js";
import { useGestures } from "./gestures.js";
import { showBox, startSearch } from "./search.js";
import { addBox, boxes, image, isLarge, removeBox, selectedKey } from "./subject.js";
import { fitted, fittingScale, settled, showing, zoomed } from "./view_transform.js";

const ZOOM_STEP = 1.5;
const CORNERS = ["nw", "ne", "se", "sw"];
const SIDES = [...CORNERS, "n", "e", "s", "w"];
/** On a smaller box, on the screen, the handles of the sides would cover the vehicle. */
const ROOM_FOR_SIDES_PX = 56;

export function BoxEditor() {
  const opened = useStore(image);
  const drawn = useStore(boxes);
  const selected = useStore(selectedKey);
  const large = useStore(isLarge);
  const viewport = useRef(null);
  const [size, setSize] = useState(null);
  const [view, setView] = useState(null);
  const [tool, setTool] = useState("draw");
  const [said, setSaid] = useState("");

  useLayoutEffect(() => {
    const measure = () => setSize({ width: viewport.current.clientWidth, height: viewport.current.clientHeight });
    const observer = new ResizeObserver(measure);
    observer.observe(viewport.current);
    measure();
    return () => observer.disconnect();
  }, []);
  // A resized viewport shows the whole image again.
  useEffect(() => size && setView(fitted(opened, size)), [size?.width, size?.height]);

  const zoomBy = (factor, point = { x: size.width / 2, y: size.height / 2 }) =>
    setView((before) => zoomed(before, factor, point, opened, size));
  const pan = (dx, dy) => setView((before) => settled({ ...before, x: before.x + dx, y: before.y + dy }, opened, size));
  const gestures = useGestures({ viewport, view, setView, zoomBy, pan, size, tool, opened });

  const focusBox = (key) => {
    const focus = () => viewport.current?.querySelector(`[data-box="${key}"]`)?.focus();
    requestAnimationFrame(focus); // it may not be drawn yet
  };
  const addInTheMiddle = () => {
    const last = drawn.at(-1);
    const width = last?.width ?? size.width / view.scale / 5;
    const height = last?.height ?? size.height / view.scale / 5;
    const middle = { x: (size.width / 2 - view.x) / view.scale, y: (size.height / 2 - view.y) / view.scale };
    const box = addBox({ x: middle.x - width / 2, y: middle.y - height / 2, width, height });
    if (!box) return;
    setSaid(`Box ${drawn.length + 1}: ${boxWords(box)}`);
    focusBox(box.key);
  };
  const remove = (key) => {
    removeBox(key);
    setSaid("Box removed");
    if (selectedKey.value !== null) focusBox(selectedKey.value);
    else viewport.current.focus();
  };
  const onKeyDown = (event) =>
    view &&
    handleBoxKey(event, {
      scale: view.scale,
      add: addInTheMiddle,
      remove,
      pan,
      zoomIn: () => zoomBy(ZOOM_STEP),
      zoomOut: () => zoomBy(1 / ZOOM_STEP),
      fit: () => setView(fitted(opened, size)),
      search: startSearch,
      onChanged: (box, number) => {
        setView((before) => showing(before, box, opened, size));
        setSaid(`Box ${number}: ${boxWords(box)}`);
      },
    });

  const isZoomed = view && view.scale > fittingScale(opened, size) * 1.001;
  return html`
    <div class="editor">
      <div class=${`editor-viewport ${tool}`} ref=${viewport} tabindex="0" role="group"
        aria-label=${`Boxes on ${opened.name}`} aria-describedby="editor-help"
        style=${{ aspectRatio: `${opened.width} / ${opened.height}` }} onKeyDown=${onKeyDown} ...${gestures}>
        ${view && html`
          <img src=${opened.url} alt="" draggable=${false} width=${opened.width} height=${opened.height}
            style=${{ transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})` }} />
          ${drawn.map(
            (box, index) => html`
              <${BoxMark} key=${box.key} box=${box} number=${index + 1} isSelected=${box.key === selected}
                view=${view} />
            `,
          )}
        `}
      </div>
      <div class="editor-tools">
        <div class="row">
          <button class="button" onClick=${addInTheMiddle} disabled=${!view}><${Icon} name="box" />Add a box</button>
          ${drawn.length > 0 && html`
            <button class="button icon" aria-label="Remove the selected box" title="Remove the selected box (Delete)"
              disabled=${selected === null} onClick=${() => remove(selected)}><${Icon} name="trash" /></button>
          `}
        </div>
        <div class="row">
          ${isZoomed && html`
            <button class="button" aria-pressed=${tool === "pan"}
              onClick=${() => setTool(tool === "pan" ? "draw" : "pan")}>
              Move the view
            </button>
          `}
          <div class="row tight" role="group" aria-label="Zoom">
            <button class="button icon" aria-label="Zoom out" disabled=${!isZoomed}
              onClick=${() => zoomBy(1 / ZOOM_STEP)}>−</button>
            <button class="button icon" aria-label="Zoom in" disabled=${!view}
              onClick=${() => zoomBy(ZOOM_STEP)}>+</button>
          </div>
          <button class="button icon enlarge" aria-label="Large editor" title="Large editor" aria-pressed=${large}
            onClick=${() => isLarge.set(!large)}><${Icon} name="expand" /></button>
        </div>
      </div>
      <p class="small faint editor-help for-keys" id="editor-help">${KEYS_HELP}</p>
      <p class="small faint editor-help for-fingers">Draw with one finger; two zoom and move the view.</p>
      <p class="hidden-visually" role="status">${said}</p>
    </div>
  `;
}

/** A box in its place, and when it is selected what it is resized by. */
function BoxMark({ box, number, isSelected, view }) {
  const sides = Math.min(box.width, box.height) * view.scale < ROOM_FOR_SIDES_PX ? CORNERS : SIDES;
  const style = {
    left: `${view.x + box.x * view.scale}px`,
    top: `${view.y + box.y * view.scale}px`,
    width: `${box.width * view.scale}px`,
    height: `${box.height * view.scale}px`,
  };
  return html`
    <button class=${`box ${isSelected ? "selected" : ""} ${sides === CORNERS ? "small" : ""}`} data-box=${box.key}
      style=${style} aria-label=${`Box ${number}, ${boxWords(box)}`} onFocus=${() => showBox(box.key)}>
      <span class="box-number">${number}</span>
      ${isSelected && sides.map((side) => html`<span key=${side} class=${`handle ${side}`} data-sides=${side}></span>`)}
    </button>
  `;
}
