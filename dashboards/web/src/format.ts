import { language, plural, t } from "./lang.svelte";

/**
 * Integers of the wire as people read them. Thousands are set apart with a narrow space, units with a full one; neither
 * breaks.
 */
const SPACE = "\u202f";
const UNIT_SPACE = "\u00a0";
const NONE = "–";
const MINUS = "−";

/** Digits after the point as the server's model counts them (ISO 4217; 2 unless listed). */
const MINOR_DIGITS: Record<string, number> = {
  JPY: 0, KRW: 0, VND: 0, CLP: 0, ISK: 0, BHD: 3, KWD: 3, OMR: 3, JOD: 3, TND: 3,
};
const SIGNS: Record<string, string> = { RUB: "₽", KZT: "₸", EUR: "€", USD: "$", GBP: "£", JPY: "¥", UAH: "₴", BYN: "Br" };

const formats = new Map<string, Intl.NumberFormat>();

function number(value: number, digitsMin: number, digitsMax: number): string {
  const key = `${digitsMin}:${digitsMax}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat("en", { minimumFractionDigits: digitsMin, maximumFractionDigits: digitsMax });
    formats.set(key, format);
  }
  const text = format.format(value);
  const spaced = text.replaceAll(",", SPACE).replace("-", MINUS);
  return language.code === "en" ? spaced : spaced.replace(".", ",");
}

export const count = (value: number): string => number(value, 0, 0);

/** A figure with its unit apart, so that the unit can be set smaller. */
export interface Figure {
  value: string;
  unit: string;
}

export const joined = (figure: Figure): string => (figure.unit ? `${figure.value}${UNIT_SPACE}${figure.unit}` : figure.value);

export function rate(perSecond: number): string {
  if (!Number.isFinite(perSecond)) return NONE;
  return perSecond > 0 && perSecond < 10 ? number(perSecond, 1, 1) : count(perSecond);
}

/** A latency or another short time: `850 µs`, `3.1 ms`, `1.2 s`. */
export function duration(us: number): Figure {
  if (!Number.isFinite(us) || us < 0) return { value: NONE, unit: "" };
  if (us < 1_000) return { value: count(us), unit: t("µs", "мкс", "мкс") };
  if (us < 10_000) return { value: number(us / 1_000, 1, 1), unit: t("ms", "мс", "мс") };
  if (us < 1_000_000) return { value: count(us / 1_000), unit: t("ms", "мс", "мс") };
  if (us < 60_000_000) return { value: number(us / 1_000_000, 1, 1), unit: t("s", "с", "с") };
  return { value: count(us / 60_000_000), unit: t("min", "мин", "мин") };
}

const litre = (): string => t("L", "л", "л");

/** Whole litres, for tanks and sums. */
export const litres = (ml: number): string => `${count(ml / 1_000)}${UNIT_SPACE}${litre()}`;

/** A difference: what is over has a plus. */
export const signedLitres = (ml: number): string => (Math.abs(ml) < 500 ? litres(0) : `${ml > 0 ? "+" : ""}${litres(ml)}`);

/** Tenths with one digit after the point, or more. */
export const tenths = (value: number, digits = 1, signed = false): string => `${signed && value > 0 ? "+" : ""}${number(value / 10, digits > 1 ? digits : 0, digits)}`;

/** A flow: litres an hour, cubic metres where a lorry fills the tank. */
export const flow = (mlPerHour: number): string =>
  Math.abs(mlPerHour) >= 9_950_000
    ? `${count(mlPerHour / 1_000_000)}${UNIT_SPACE}${t("m³/h", "м³/ч", "м³/сағ")}`
    : `${litres(mlPerHour)}${t("/h", "/ч", "/сағ")}`;

/** Litres as a pump shows them. */
export const soldLitres = (ml: number): string => `${number(ml / 1_000, 2, 2)}${UNIT_SPACE}${litre()}`;

export function manyLitres(ml: number): Figure {
  const amount = ml / 1_000;
  if (Math.abs(amount) >= 1_000_000) return { value: number(amount / 1_000_000, 2, 2), unit: t("million L", "млн л", "млн л") };
  return { value: count(amount), unit: litre() };
}

const sign = (currency: string): string => SIGNS[currency] ?? currency;

/** Money to the last coin. */
export function money(minor: number, currency: string): string {
  const digits = MINOR_DIGITS[currency] ?? 2;
  return `${number(minor / 10 ** digits, digits, digits)}${UNIT_SPACE}${sign(currency)}`;
}

/** Money without the coins, rounded towards less, so that nobody is promised what is not there. */
export function wholeMoney(minor: number, currency: string): string {
  const digits = MINOR_DIGITS[currency] ?? 2;
  return `${count(Math.floor(minor / 10 ** digits))}${UNIT_SPACE}${sign(currency)}`;
}

/** Part of a whole, 0 to 1; 0 when the whole is nothing. */
export const share = (part: number, whole: number): number => (whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0);

/** Whole percents; what is little is not shown as nothing. */
export function percent(part: number, whole: number): string {
  if (whole <= 0) return NONE;
  const value = (part / whole) * 100;
  return `${value > 0 && value < 1 ? "<1" : count(value)}${UNIT_SPACE}%`;
}

/** Small parts keep a digit: a decline rate of 0.4 % is not 0 %. */
export function finePercent(part: number, whole: number): string {
  if (whole <= 0) return NONE;
  const value = (part / whole) * 100;
  return `${value > 0 && value < 10 ? number(value, 1, 1) : count(value)}${UNIT_SPACE}%`;
}

const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
/** Few browsers know Kazakh names of days and months. */
const KAZAKH_DAYS = ["жс", "дс", "сс", "ср", "бс", "жм", "сб"];
const KAZAKH_MONTHS = ["қаң.", "ақп.", "нау.", "сәу.", "мам.", "мау.", "шіл.", "там.", "қыр.", "қаз.", "қар.", "жел."];
function kazakhDay(at: Date): string {
  return `${KAZAKH_DAYS[at.getDay()]}, ${at.getDate()} ${KAZAKH_MONTHS[at.getMonth()]}`;
}

/** Made when a language is first used. */
const dayFormats = new Map<string, Intl.DateTimeFormat>();
function dayFormat(): Intl.DateTimeFormat {
  const locale = language.code === "ru" ? "ru" : "en-GB";
  let format = dayFormats.get(locale);
  if (!format) {
    format = new Intl.DateTimeFormat(locale, { weekday: "short", day: "numeric", month: "short" });
    dayFormats.set(locale, format);
  }
  return format;
}

/** Time of day in the viewer's zone. */
export const clock = (us: number): string => (us > 0 ? clockFormat.format(us / 1_000) : NONE);
/** A day and a time of day, for what is far from now. */
export const dayAndClock = (us: number): string => (us > 0 ? `${day(us)} ${clockMinutes(us)}` : NONE);
export const clockMinutes = (us: number): string => (us > 0 ? clockFormat.format(us / 1_000).slice(0, 5) : NONE);
/** A time of day, or the day where that is not near `nowUs`. */
export const since = (us: number, nowUs: number): string => (Math.abs(nowUs - us) < 20 * 3_600e6 ? clockMinutes(us) : day(us));
export function day(us: number): string {
  if (us <= 0) return NONE;
  return language.code === "kk" ? kazakhDay(new Date(us / 1_000)) : dayFormat().format(us / 1_000);
}

/** The viewer's distance from UTC at that moment, as in `UTC+05:00`. */
export function utcOffset(minutesEast: number): string {
  const minutes = Math.abs(minutesEast);
  const pad = (part: number): string => String(Math.floor(part)).padStart(2, "0");
  return `UTC${minutesEast < 0 ? MINUS : "+"}${pad(minutes / 60)}:${pad(minutes % 60)}`;
}

/** The whole moment, to the millisecond and with the offset: for hovering. */
export function moment(us: number): string {
  if (us <= 0) return NONE;
  const at = new Date(us / 1_000);
  const pad = (part: number, width = 2): string => String(part).padStart(width, "0");
  const date = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  const millis = pad(Math.floor(us / 1_000) % 1_000, 3);
  return `${date} ${clock(us)}.${millis} ${utcOffset(-at.getTimezoneOffset())}`;
}

/** How long something has lasted: `12 s`, `4 min`, `3 h`, `2 days`. */
export function lasting(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 90) return `${seconds}${UNIT_SPACE}${t("s", "с", "с")}`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)}${UNIT_SPACE}${t("min", "мин", "мин")}`;
  if (seconds < 36 * 3_600) return `${Math.round(seconds / 3_600)}${UNIT_SPACE}${t("h", "ч", "сағ")}`;
  return days(Math.round(seconds / 86_400));
}

/** `figure` stands for the number where it is more than that, a range for example. */
export function days(many: number, figure = String(many)): string {
  return `${figure}${UNIT_SPACE}${t(many === 1 ? "day" : "days", plural(many, ["день", "дня", "дней"]), "күн")}`;
}

/** The length of a rolling window: `12 h`, `7 days`. */
export function stretch(secs: number): string {
  if (secs % 86_400 === 0 && secs > 86_400) return days(secs / 86_400);
  if (secs % 3_600 === 0) return `${secs / 3_600}${UNIT_SPACE}${t("h", "ч", "сағ")}`;
  return `${Math.round(secs / 60)}${UNIT_SPACE}${t("min", "мин", "мин")}`;
}

export const degrees = (tenths: number): string => `${number(tenths / 10, 1, 1)}${UNIT_SPACE}°C`;
export const millimetres = (mm: number): string => `${count(mm)}${UNIT_SPACE}${t("mm", "мм", "мм")}`;
