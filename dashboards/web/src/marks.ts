/** What of a tank's events is drawn over its levels: pure, so that it can be tested without a canvas. */
import type { TankEvent } from "./live/site";
import { event as told, type Tone } from "./tanks";

export interface Mark {
  fromUs: number;
  toUs: number;
  tone: Tone;
  /** Written beside it where there is room: the litres of a delivery or loss. */
  ml?: number;
}

/** A mark is at least so wide in parts of the range, so that a short event can be seen. */
const WIDTH_MIN = 0.002;

/** Oldest first; what was withdrawn and what lies outside is left out, what lasts reaches to the end. */
export function marks(events: readonly TankEvent[], fromUs: number, toUs: number): Mark[] {
  const least = (toUs - fromUs) * WIDTH_MIN;
  const drawn: Mark[] = [];
  for (const event of events) {
    // A leak is no moment: it was measured over days.
    if (event.withdrawn || "suspected_leak" in event.kind) continue;
    const endUs = event.ended_at_us ?? toUs;
    if (endUs < fromUs || event.began_at_us > toUs) continue;
    const mark: Mark = {
      fromUs: Math.max(fromUs, event.began_at_us),
      toUs: Math.min(toUs, Math.max(endUs, event.began_at_us + least)),
      tone: told(event).tone,
    };
    if ("delivery" in event.kind) mark.ml = event.kind.delivery.gross_ml;
    if ("unexplained_loss" in event.kind) mark.ml = -event.kind.unexplained_loss.lost_ml;
    drawn.push(mark);
  }
  return drawn.sort((a, b) => a.fromUs - b.fromUs);
}
