/** The width of an element on the page, so that what is drawn in it has letters of one size on every screen. */
import { useEffect, useRef, useState } from "preact/hooks";

/** `[ref, width]`; the width is 0 until it is known. */
export function useWidth() {
  const element = useRef(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return [element, width];
}
