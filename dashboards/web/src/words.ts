/** Codes of the wire in plain words. What is not known is shown as it came. */
import type { DecisionLine, Verdict } from "./live/protocol";

export const VERDICTS: Record<Verdict, string> = { approve: "Approved", partial: "Partial", decline: "Declined" };

const CODES: Record<string, string> = {
  APPROVED: "Approved",
  APPROVED_FLAGGED: "Approved, worth a look",
  FMT_INVALID: "The request makes no sense",
  FMT_CLOCK: "The terminal's clock is wrong",
  FMT_KEY_REUSED: "Same key, different request",
  AMOUNT_MISMATCH: "Amounts do not add up",
  CURRENCY_MISMATCH: "Another currency than the contract's",
  CARD_UNKNOWN: "Card is not known",
  CARD_BLOCKED: "Card is blocked",
  CONTRACT_UNKNOWN: "Contract is not known",
  FUNDS: "Not enough money on the contract",
  LIMIT_PERIOD: "The card's limit is used up",
  FRAUD_VELOCITY: "Too many purchases in a short time",
  FRAUD_TRAVEL: "Too far from the last station",
  ORIGINAL_UNKNOWN: "No such authorization",
  ORIGINAL_CLOSED: "Authorization is already closed",
  COMPLETION_ABOVE_HOLD: "Sold more than was reserved",
  COMPLETION_LATE: "Completed after the hold expired",
  POSTED_OFFLINE: "Sold offline, posted",
};

const KINDS: Record<string, string> = {
  preauth: "Authorization",
  sale: "Sale",
  completion: "Completion",
  advice_offline: "Offline sale",
  reversal: "Reversal",
  refund: "Refund",
  balance: "Balance inquiry",
  dry_run: "Trial",
};

const RULES: Record<string, string> = { velocity: "Many purchases quickly", impossible_travel: "Impossible travel" };
const MODES: Record<string, string> = { flag: "flagged", decline: "declined", off: "watched only" };

/** `SOME_CODE` or `some_code` as words. */
const spoken = (code: string): string => {
  const words = code.replaceAll("_", " ").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
};

export const code = (value: string): string => CODES[value] ?? spoken(value);
export const kind = (value: string): string => KINDS[value] ?? spoken(value);
export const rule = (value: string): string => RULES[value] ?? spoken(value);
export const mode = (value: string): string => MODES[value] ?? value;
export const limit = (value: string): string => spoken(value);

/** One line that says why, for everything that is not a plain approval. */
export function reason(line: DecisionLine): string | null {
  const plain = line.verdict === "approve" && line.risk.length === 0 && line.code === "APPROVED";
  if (plain) return null;
  if (line.verdict === "approve" && line.risk.length > 0) {
    return line.risk.map((finding) => `${rule(finding.rule)}: ${finding.value}`).join("; ");
  }
  return line.manager === "" ? code(line.code) : line.manager;
}

/** The last digits of a card, or its token where none are known. */
export function card(line: { card: string; pan_masked?: string }): string {
  const digits = /(\d{2,4})\D*$/u.exec(line.pan_masked ?? "")?.[1];
  return digits ? `•••• ${digits}` : line.card;
}
