/** The viewer's language: chosen on the page and remembered, else the browser's. */
export type Lang = "en" | "ru" | "kk";
export const LANGS: readonly { key: Lang; name: string; full: string }[] = [
  { key: "en", name: "EN", full: "English" },
  { key: "ru", name: "РУ", full: "Русский" },
  { key: "kk", name: "ҚЗ", full: "Қазақша" },
];
const STORED = "forecourt.language";

const isLang = (value: unknown): value is Lang => value === "en" || value === "ru" || value === "kk";

function first(): Lang {
  // A browser that keeps nothing, and tests, have no storage.
  const kept = typeof localStorage === "undefined" ? null : localStorage.getItem(STORED);
  if (isLang(kept)) return kept;
  const wished = typeof navigator === "undefined" ? "en" : (navigator.language ?? "en").slice(0, 2);
  return isLang(wished) ? wished : "en";
}

class Language {
  code = $state<Lang>(first());

  choose(code: Lang): void {
    this.code = code;
    try {
      localStorage.setItem(STORED, code);
    } catch {
      // It holds until the page is closed.
    }
  }
}

export const language = new Language();

/** The text in the viewer's language. */
export const t = (en: string, ru: string, kk: string): string => ({ en, ru, kk })[language.code];

/** A text that came in three languages. */
export const told = (texts: Record<Lang, string>): string => texts[language.code] || texts.en;

/** Russian has three forms: 1 карта, 2 карты, 5 карт. */
export function plural(count: number, [one, few, many]: readonly [string, string, string]): string {
  const tens = Math.abs(count) % 100;
  const ones = tens % 10;
  if (tens > 10 && tens < 20) return many;
  return ones === 1 ? one : ones >= 2 && ones <= 4 ? few : many;
}
