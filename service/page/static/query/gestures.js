/** Mouse, pen and fingers in the box editor: one draws, moves or resizes a box, two zoom and pan. */
import { useEffect, useRef } from "preact/hooks";
import { between, moved, newBox, resized } from "./box_geometry.js";
import { addBox, boxes, changeBox, removeBox, selectedKey } from "./subject.js";
import { fittingScale, toImage, zoomed } from "./view_transform.js";

const WHEEL_ZOOM = 1.0015;
/** A shorter drag, on the screen, is a click that missed. */
const SHORTEST_DRAG_PX = 6;

/** The handlers of the viewport. */
export function useGestures({ viewport, view, setView, zoomBy, pan, size, tool, opened }) {
  const fingers = useRef(new Map());
  const gesture = useRef(null);

  const pointOf = (event) => {
    const frame = viewport.current.getBoundingClientRect();
    return { x: event.clientX - frame.left, y: event.clientY - frame.top };
  };

  const begin = (event, point) => {
    const mark = event.target.closest("[data-box]");
    if (tool === "pan" || event.button === 1) return { kind: "pan", last: point };
    const start = toImage(view, point);
    if (!mark) return { kind: "draw", start, from: point, key: null };
    const key = Number(mark.dataset.box);
    mark.focus({ preventScroll: true });
    const box = boxes.value.find((one) => one.key === key);
    const { sides } = event.target.dataset;
    return { kind: sides ? "resize" : "move", start, sides, key, box };
  };

  const onPointerDown = (event) => {
    if (!view || event.button > 1) return;
    event.preventDefault(); // no text selection, no scrolling by the middle button
    const point = pointOf(event);
    viewport.current.setPointerCapture(event.pointerId);
    fingers.current.set(event.pointerId, point);
    if (fingers.current.size === 1) gesture.current = begin(event, point);
    else if (fingers.current.size === 2) {
      takeBack(gesture.current);
      gesture.current = { kind: "pinch", view, ...spread(fingers.current) };
    }
  };

  const onPointerMove = (event) => {
    if (!fingers.current.has(event.pointerId)) return;
    const point = pointOf(event);
    fingers.current.set(event.pointerId, point);
    const now = gesture.current;
    const at = toImage(view, point);
    switch (now?.kind) {
      case "draw":
        draw(now, point, at);
        break;
      case "move":
        changeBox(now.key, moved(now.box, at.x - now.start.x, at.y - now.start.y, opened));
        break;
      case "resize":
        changeBox(now.key, resized(now.box, now.sides, at.x - now.start.x, at.y - now.start.y, opened));
        break;
      case "pan":
        pan(point.x - now.last.x, point.y - now.last.y);
        now.last = point;
        break;
      case "pinch": {
        const { middle, distance } = spread(fingers.current);
        const [dx, dy] = [middle.x - now.middle.x, middle.y - now.middle.y];
        const shifted = { ...now.view, x: now.view.x + dx, y: now.view.y + dy };
        setView(zoomed(shifted, distance / now.distance, middle, opened, size));
      }
    }
  };

  const draw = (now, point, at) => {
    const drag = Math.max(Math.abs(point.x - now.from.x), Math.abs(point.y - now.from.y));
    if (now.key === null && drag < SHORTEST_DRAG_PX) return;
    const area = newBox(between(inside(now.start, opened), inside(at, opened)), opened);
    if (now.key === null) now.key = addBox(area)?.key ?? null;
    else changeBox(now.key, area);
    if (now.key === null) gesture.current = null; // there are as many boxes as there may be
  };

  const onPointerUp = (event) => {
    if (!fingers.current.delete(event.pointerId)) return;
    const now = gesture.current;
    gesture.current = null;
    if (now?.kind !== "draw") return;
    if (now.key === null) {
      selectedKey.set(null);
      viewport.current.focus({ preventScroll: true });
    } else viewport.current.querySelector(`[data-box="${now.key}"]`)?.focus({ preventScroll: true });
  };

  const onPointerCancel = (event) => {
    fingers.current.delete(event.pointerId);
    takeBack(gesture.current);
    gesture.current = null;
  };

  // Preact's handlers cannot say that they may keep the page from scrolling.
  const onWheel = useRef(null);
  onWheel.current = (event) => {
    if (!view || (event.deltaY > 0 && view.scale <= fittingScale(opened, size) * 1.001)) return;
    event.preventDefault();
    zoomBy(WHEEL_ZOOM ** -event.deltaY, pointOf(event));
  };
  useEffect(() => {
    const listener = (event) => onWheel.current(event);
    viewport.current.addEventListener("wheel", listener, { passive: false });
    return () => viewport.current?.removeEventListener("wheel", listener);
  }, []);

  return { onPointerDown, onPointerMove, onPointerUp, onPointerCancel };
}

/** What one finger had begun when the second came, or the browser took over. */
function takeBack(gesture) {
  if (gesture?.kind === "draw" && gesture.key !== null) removeBox(gesture.key);
  if (gesture?.kind === "move" || gesture?.kind === "resize") changeBox(gesture.key, gesture.box);
}

const inside = (point, { width, height }) => ({
  x: Math.min(Math.max(point.x, 0), width),
  y: Math.min(Math.max(point.y, 0), height),
});

/** The middle of two fingers, and how far they are from each other. */
function spread(fingers) {
  const [one, other] = [...fingers.values()];
  return {
    middle: { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 },
    distance: Math.max(1, Math.hypot(one.x - other.x, one.y - other.y)),
  };
}
