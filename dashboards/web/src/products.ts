import { language, t } from "./lang.svelte";

/**
 * Products by their network codes: the name on the pump and a colour.
 *
 * Codes are the network's own; petroleum-industry (NACS) numbers and the grade names of Eurasia are recognised. The name
 * always stands beside the colour.
 */
export interface Product {
  name: string;
  /** Ends the custom property `--fuel-…` of tokens.css. */
  colour: "diesel" | "regular" | "plus" | "premium" | "gas" | "adblue" | "other";
}

const ai = (): string => t("AI", "АИ", "АИ");

const RULES: readonly [RegExp, Product["colour"], (code: string) => string][] = [
  [/^(DIESEL|DT|ДТ|ULSD|D|DSL|EURODIESEL)([-_ ]?(EURO|SUMMER|S|5))?$/u, "diesel", () => t("Diesel", "ДТ", "Дизель")],
  [/^(DIESEL|DT|ДТ)[-_ ]?(WINTER|W|З|ARCTIC|A)$/u, "diesel", () => t("Diesel winter", "ДТ зимнее", "Қысқы дизель")],
  [/^(DIESEL|DT|ДТ)[-_ ]?(PREMIUM|PLUS|PRO|\+)$/u, "diesel", () => t("Diesel premium", "ДТ премиум", "Дизель премиум")],
  [/^0(19|21|5[23])$/u, "diesel", () => t("Diesel", "ДТ", "Дизель")],
  [/^0(20|54)$/u, "diesel", () => t("Diesel premium", "ДТ премиум", "Дизель премиум")],
  [/^(AI|АИ|A)?[-_ ]?(80|9[12])$/u, "regular", (code) => `${ai()}-${code.slice(-2)}`],
  [/^(AI|АИ|A|E)?[-_ ]?9[56]$/u, "plus", (code) => `${ai()}-${code.slice(-2)}`],
  [/^(AI|АИ|A)?[-_ ]?(98|99|100)$/u, "premium", (code) => `${ai()}-${/\d+$/u.exec(code)?.[0] ?? code}`],
  [/^001$/u, "regular", () => "Regular"],
  [/^002$/u, "plus", () => "Plus"],
  [/^003$/u, "premium", () => "Premium"],
  [/^(LPG|SUG|СУГ|PROPANE|AUTOGAS|023)$/u, "gas", () => "LPG"],
  [/^(CNG|KPG|КПГ|022)$/u, "gas", () => "CNG"],
  [/^(ADBLUE|DEF|AUS32|062)$/u, "adblue", () => "AdBlue"],
];

const known = new Map<string, Product>();

export function product(code: string): Product {
  const key = `${language.code}/${code}`;
  let found = known.get(key);
  if (!found) {
    const upper = code.toUpperCase();
    const rule = RULES.find(([pattern]) => pattern.test(upper));
    found = rule ? { name: rule[2](upper), colour: rule[1] } : { name: code, colour: "other" };
    known.set(key, found);
  }
  return found;
}
