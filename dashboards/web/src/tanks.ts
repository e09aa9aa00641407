/** Tanks in words: alarms, silence, events, supply. In the viewer's language; amounts as people read them. */
import { count, dayAndClock, days, joined, lasting, litres, signedLitres, tenths } from "./format";
import { plural, t } from "./lang.svelte";
import type { AlarmName, MomentSpan, ReadingRefused, SilenceCause, TankForecast, TankLine } from "./live/protocol";
import type { Column, Delivery, EventKind, TankEvent, WetStock } from "./live/site";

export const DAY_US = 86_400e6;

export const alarm = (name: AlarmName): string =>
  ({
    low_low: t("nearly empty", "почти пуст", "бос дерлік"),
    low: t("low", "мало", "аз"),
    high: t("high", "много", "көп"),
    high_high: t("overfilled", "переполнен", "асып толған"),
    water_ingress: t("water", "вода", "су"),
    suspected_leak: t("leak?", "утечка?", "ағып тұр ма?"),
    unexplained_loss: t("loss", "недостача", "кем шығу"),
    unit_slip: t("wrong unit", "не та единица", "өлшем бірлігі қате"),
    clock_wrong: t("wrong clock", "неверные часы", "сағаты қате"),
  })[name];

/** Where to look first. */
const GRAVITY: readonly AlarmName[] = ["suspected_leak", "unexplained_loss", "high_high", "low_low", "water_ingress", "low", "high", "unit_slip", "clock_wrong"];
export const gravest = (alarms: readonly AlarmName[] | undefined): AlarmName | undefined => GRAVITY.find((name) => alarms?.includes(name));
export const byGravity = (alarms: readonly AlarmName[] | undefined): AlarmName[] => GRAVITY.filter((name) => alarms?.includes(name));

export const silence = (cause: SilenceCause): string =>
  ({
    controller_offline: t("the station controller is offline", "контроллер станции не на связи", "станция контроллері байланыста емес"),
    site: t("no tank of the site is heard: power or network", "молчит вся станция: питание или сеть", "бүкіл станция үнсіз: қуат не желі"),
    gauge: t("other tanks are heard: probe, cable or battery", "остальные резервуары на связи: датчик, кабель или батарея", "басқа резервуарлар байланыста: датчик, кабель не батарея"),
    invalid_readings: t("readings come, but none can be believed", "показания приходят, но им нельзя верить", "көрсеткіштер келіп тұр, бірақ оларға сенуге болмайды"),
    unknown: t("the cause is not known", "причина неизвестна", "себебі белгісіз"),
  })[cause];

/** A word or two, for a small tank. */
export const silenceShort = (cause: SilenceCause): string =>
  ({
    controller_offline: t("controller", "контроллер", "контроллер"),
    site: t("site", "станция", "станция"),
    gauge: t("gauge", "датчик", "датчик"),
    invalid_readings: t("bad data", "плохие данные", "жарамсыз дерек"),
    unknown: t("unknown", "неясно", "белгісіз"),
  })[cause];

export const refused = (because: ReadingRefused): string =>
  ({
    repeat: t("a repeat", "повтор", "қайталау"),
    invalid_height: t("the gauge itself says that the height is wrong", "датчик сам сообщает, что высота неверна", "датчиктің өзі биіктік қате дейді"),
    no_volume: t("no volume was sent, and without registration it cannot be computed", "объём не передан, а без регистрации его не рассчитать", "көлем жіберілмеген, ал тіркеусіз оны есептеу мүмкін емес"),
    impossible: t("the values contradict each other", "значения противоречат друг другу", "мәндер бір-біріне қайшы"),
    ambiguous: t("the values fit in more than one order", "значения подходят в нескольких порядках", "мәндер бірнеше ретпен сәйкес келеді"),
    unit_slip: t("the volume is in another unit", "объём в другой единице", "көлем басқа өлшем бірлігінде"),
    too_old: t("measured too long ago", "измерено слишком давно", "тым ертеде өлшенген"),
    too_many_tanks: t("too many tanks", "слишком много резервуаров", "резервуар тым көп"),
  })[because];

const column = (name: Column): string =>
  ({
    volume: t("volume", "объём", "көлем"),
    volume15: t("volume at 15 °C", "объём при 15 °C", "15 °C-тағы көлем"),
    ullage: t("ullage", "свободный объём", "бос көлем"),
    water_volume: t("volume of water", "объём воды", "су көлемі"),
    height: t("height", "высота", "биіктік"),
    water: t("water", "вода", "су"),
    temperature: t("temperature", "температура", "температура"),
    percent: t("percent", "процент", "пайыз"),
    density: t("density", "плотность", "тығыздық"),
  })[name];

export type Tone = "delivery" | "loss" | "alarm" | "silence" | "note";

export interface Told {
  tone: Tone;
  title: string;
  /** What stands below the title, one thing each. */
  details: string[];
}

const dmm = (height: number): string => joined({ value: tenths(height), unit: t("mm", "мм", "мм") });

/** An event in words. */
export function event(of: TankEvent): Told {
  const kind: EventKind = of.kind;
  if ("delivery" in kind) return { tone: "delivery", ...delivery(kind.delivery, of.ended_at_us === undefined) };
  if ("unexplained_loss" in kind) {
    const { lost_ml, error_ml } = kind.unexplained_loss;
    const volume = `${litres(lost_ml)} ± ${litres(error_ml)}`;
    return { tone: "loss", title: t(`${volume} went that nobody bought`, `Ушло ${volume}, никем не купленных`, `Ешкім сатып алмаған ${volume} кетті`), details: [] };
  }
  if ("suspected_leak" in kind) {
    const { rate_ml_per_hour, error_ml_per_hour, quiet_hours } = kind.suspected_leak;
    const rate = joined({ value: `${tenths(rate_ml_per_hour / 100)} ± ${tenths(error_ml_per_hour / 100)}`, unit: t("L/h", "л/ч", "л/сағ") });
    return {
      tone: "loss",
      title: t(`A leak of ${rate} is suspected`, `Возможна утечка ${rate}`, `${rate} ағу болуы мүмкін`),
      details: [t(`Measured over ${quiet_hours} quiet hours`, `По ${quiet_hours} ч без продаж`, `Сатусыз ${quiet_hours} сағат бойынша`)],
    };
  }
  if ("water_ingress" in kind) {
    const { before_dmm, after_dmm } = kind.water_ingress;
    const [from, to] = [dmm(before_dmm), dmm(after_dmm)];
    return { tone: "alarm", title: of.ended_at_us === undefined ? t(`Water is coming in: ${from} → ${to}`, `Поступает вода: ${from} → ${to}`, `Су кіріп жатыр: ${from} → ${to}`) : t(`Water came in: ${from} → ${to}`, `Поступила вода: ${from} → ${to}`, `Су кірді: ${from} → ${to}`), details: [] };
  }
  if ("level_alarm" in kind) {
    const { level, volume_ml } = kind.level_alarm;
    const word = {
      low_low: t("Nearly empty", "Почти пуст", "Бос дерлік"),
      low: t("Low level", "Низкий уровень", "Төмен деңгей"),
      high: t("High level", "Высокий уровень", "Жоғары деңгей"),
      high_high: t("Above the safe fill", "Выше допустимого заполнения", "Рұқсат етілген деңгейден жоғары"),
    }[level];
    return { tone: "alarm", title: `${word}: ${litres(volume_ml)}`, details: [] };
  }
  if ("silence" in kind) {
    const cause = silence(kind.silence.cause);
    return { tone: "silence", title: of.ended_at_us === undefined ? t("The gauge is silent", "Датчик молчит", "Датчик үнсіз") : t("The gauge was silent", "Датчик молчал", "Датчик үнсіз болды"), details: [cause.charAt(0).toUpperCase() + cause.slice(1)] };
  }
  if ("unit_slip" in kind) {
    const { ratio_e3 } = kind.unit_slip;
    const name = column(kind.unit_slip.column);
    const ratio = tenths(ratio_e3 / 100, 3);
    return {
      tone: "note",
      title: t(`The ${name} looks like another unit`, `Похоже, другая единица: ${name}`, `Басқа өлшем бірлігі сияқты: ${name}`),
      details: [t(`It is ${ratio} times what it should be`, `Составляет ${ratio} от ожидаемого`, `Күтілген мәннің ${ratio} бөлігі`)],
    };
  }
  const offset = lasting(Math.abs(kind.clock_wrong.offset_s) * 1_000);
  const title =
    kind.clock_wrong.offset_s > 0
      ? t(`The gauge's clock is ${offset} ahead`, `Часы датчика спешат на ${offset}`, `Датчик сағаты ${offset} алда`)
      : t(`The gauge's clock is ${offset} behind`, `Часы датчика отстают на ${offset}`, `Датчик сағаты ${offset} кейін`);
  return { tone: "note", title, details: [] };
}

function delivery(of: Delivery, lasts: boolean): { title: string; details: string[] } {
  const volume = `${litres(of.gross_ml)} ± ${litres(of.error_ml)}`;
  const title = lasts
    ? t(`A delivery is going on: ${volume} so far`, `Идёт слив: пока ${volume}`, `Құю жүріп жатыр: әзірге ${volume}`)
    : t(`${volume} delivered`, `Слито ${volume}`, `${volume} құйылды`);
  const details: string[] = [];
  if (of.net_15_ml !== undefined) details.push(t(`${litres(of.net_15_ml)} at 15 °C`, `${litres(of.net_15_ml)} при 15 °C`, `15 °C-та ${litres(of.net_15_ml)}`));
  if (of.sold_ml > 0) details.push(t(`${litres(of.sold_ml)} sold meanwhile`, `за это время продано ${litres(of.sold_ml)}`, `сол уақытта ${litres(of.sold_ml)} сатылды`));
  if (of.ticket_ml !== undefined) {
    const difference = of.ticket_difference_ml ?? of.gross_ml - of.ticket_ml;
    const ticket = t(`ticket ${litres(of.ticket_ml)}`, `по накладной ${litres(of.ticket_ml)}`, `жүкқұжат бойынша ${litres(of.ticket_ml)}`);
    const share = of.ticket_ml > 0 ? ` (${joined({ value: tenths(Math.round((difference / of.ticket_ml) * 100_000) / 100 || 0, 2, true), unit: "%" })})` : "";
    details.push(`${ticket}: ${signedLitres(difference)}${share}`);
  } else if (!lasts) details.push(t("no ticket was sent", "накладная не передана", "жүкқұжат жіберілмеген"));
  const [before, after] = [of.water_before_dmm, of.water_after_dmm];
  if (before !== undefined && after !== undefined && after > before + 10) details.push(t(`water ${dmm(before)} → ${dmm(after)}`, `вода ${dmm(before)} → ${dmm(after)}`, `су ${dmm(before)} → ${dmm(after)}`));
  return { title, details };
}

/** The ticket and the gauge differ by more than the measurement's error. */
export const ticketIsOff = (of: TankEvent): boolean =>
  "delivery" in of.kind && Math.abs(of.kind.delivery.ticket_difference_ml ?? 0) > Math.max(of.kind.delivery.error_ml, (of.kind.delivery.ticket_ml ?? 0) * 0.005);

/** How often late data corrected it. What is told while it lasts is told once more when it ends: that corrects nothing. */
export function corrections(of: TankEvent): number {
  const toldWhileItLasts = !("delivery" in of.kind || "unexplained_loss" in of.kind || "suspected_leak" in of.kind);
  return Math.max(0, of.version - 1 - (toldWhileItLasts && of.ended_at_us !== undefined ? 1 : 0) - (of.withdrawn ? 1 : 0));
}

export const corrected = (times: number): string =>
  t(times === 1 ? "corrected once" : `corrected ${times} times`, `исправлено: ${times} ${plural(times, ["раз", "раза", "раз"])}`, `${times} рет түзетілді`);

/** `4–6 days` from `fromUs`, hours when it is near; `null` beyond a year. */
export function within(span: MomentSpan, fromUs: number): string | null {
  const early = span.p10 ?? span.p50;
  if (early === undefined) return null;
  const [first, last] = [early, span.p50 ?? early].map((us) => Math.max(0, us - fromUs));
  const range = (unitUs: number): [number, number] => [Math.round((first ?? 0) / unitUs), Math.round((last ?? 0) / unitUs)];
  const hours = (last ?? 0) < 2 * DAY_US;
  const [low, high] = range(hours ? 3_600e6 : DAY_US);
  const open = span.p50 === undefined ? "+" : "";
  const figure = low === high ? `${count(high)}${open}` : `${count(low)}–${count(high)}`;
  return hours ? joined({ value: figure, unit: t("h", "ч", "сағ") }) : days(high, figure);
}

/** How long what is in the tank will likely last from its last reading on; `null` without a forecast, or beyond a year. */
export function lasts(tank: TankLine): string | null {
  const emptyUs = tank.forecast?.empty_at_us.p50;
  return emptyUs === undefined || tank.measured_at_us === undefined ? null : within({ p50: emptyUs }, tank.measured_at_us);
}

/** What to order, by when, and why; `null` where nothing runs low within a year. */
export function order(of: TankForecast, nowUs: number): { words: string; urgent: boolean } | null {
  const low = within(of.low_at_us, nowUs);
  if (of.order_by_us === undefined || low === null) return null;
  const quantity = litres(of.order_ml);
  const reaches = (of.low_at_us.p10 ?? 0) <= nowUs
    ? t("the low level may be reached any time", "нижний уровень может наступить в любой момент", "төменгі деңгей кез келген сәтте болуы мүмкін")
    : t(`reaches low in ${low}`, `до нижнего уровня ${low}`, `төменгі деңгейге дейін ${low}`);
  if (of.order_by_us <= nowUs) return { words: t(`Order ${quantity} now: ${reaches}`, `Закажите ${quantity} сейчас: ${reaches}`, `Қазір ${quantity} тапсырыс беріңіз: ${reaches}`), urgent: true };
  const by = dayAndClock(of.order_by_us);
  return { words: t(`Order ${quantity} by ${by}; ${reaches}`, `Закажите ${quantity} до ${by}; ${reaches}`, `${by} дейін ${quantity} тапсырыс беріңіз; ${reaches}`), urgent: of.order_by_us - nowUs < DAY_US };
}

/** Where a month's variance most likely comes from. */
export const cause = (of: WetStock["cause"]): string | null =>
  ({
    none: null,
    meter: t("proportional to sales: a meter gives more or less than it counts", "пропорционально продажам: счётчик отпускает больше или меньше, чем считает", "сатуға пропорционал: есептегіш санағанынан көп не аз береді"),
    deliveries: t("on days of deliveries: trucks bring less or more than told", "в дни слива: привозят меньше или больше заявленного", "құю күндері: айтылғаннан аз не көп әкеледі"),
    steady: t("the same every day: a leak, evaporation or a wrong chart", "одинаково каждый день: утечка, испарение или неверная градуировка", "күн сайын бірдей: ағу, булану не қате өлшем кестесі"),
    once: t("one or two days make most of it", "почти всё — за один-два дня", "негізінен бір-екі күннен"),
    unclear: t("no clear pattern", "без ясной закономерности", "айқын заңдылық жоқ"),
  })[of];

/** The tank's own time, as far as it is heard; else the network's. */
export const nowOf = (tank: TankLine | undefined, networkUs: number): number => Math.max(tank?.measured_at_us ?? 0, networkUs);
