/** Codes of the wire in plain words, in the viewer's language. What is not known is shown as it came. */
import { litres, money, stretch, wholeMoney } from "./format";
import { t, told } from "./lang.svelte";
import type { CardLine, DecisionLine, Headroom, ProductSelector, RiskFinding, Scope, TopUpLine, Verdict, Window } from "./live/protocol";
import { product } from "./products";

export const verdict = (value: Verdict): string =>
  ({
    approve: t("Approved", "Одобрено", "Мақұлданды"),
    partial: t("Partial", "Частично", "Ішінара"),
    decline: t("Declined", "Отказ", "Қабылданбады"),
    reprompt: t("Ask again", "Переспросить", "Қайта сұрау"),
  })[value];

const kinds = (): Record<string, string> => ({
  preauth: t("Authorization", "Авторизация", "Авторизация"),
  sale: t("Sale", "Продажа", "Сату"),
  incremental: t("More on a hold", "Увеличение резерва", "Резервті ұлғайту"),
  completion: t("Completion", "Завершение", "Аяқтау"),
  advice_offline: t("Offline sale", "Офлайн-продажа", "Офлайн сату"),
  forced: t("Forced sale", "Принудительная продажа", "Мәжбүрлі сату"),
  reversal: t("Reversal", "Отмена авторизации", "Авторизацияны болдырмау"),
  void: t("Void", "Отмена продажи", "Сатуды болдырмау"),
  refund: t("Refund", "Возврат", "Қайтару"),
  balance: t("Balance inquiry", "Запрос баланса", "Баланс сұрауы"),
  dry_run: t("Trial", "Пробный запрос", "Сынақ сұрауы"),
});

const rules = (): Record<string, string> => ({
  velocity: t("Many purchases quickly", "Много покупок подряд", "Қысқа уақытта көп сатып алу"),
  impossible_travel: t("Impossible travel", "Невозможное перемещение", "Мүмкін емес қозғалыс"),
});
const modes = (): Record<string, string> => ({
  flag: t("flagged", "помечено", "белгіленді"),
  decline: t("declined", "отказ", "қабылданбады"),
  shadow: t("watched only", "только наблюдение", "тек бақылау"),
  off: t("off", "выключено", "өшірулі"),
});
const states = (): Record<string, string> => ({
  blocked: t("blocked", "заблокирована", "бұғатталған"),
  pin_locked: t("PIN locked", "ПИН заблокирован", "ПИН бұғатталған"),
  not_yet: t("not valid yet", "ещё не действует", "әлі жарамсыз"),
  expired: t("expired", "срок истёк", "мерзімі өткен"),
  lost: t("lost", "утеряна", "жоғалған"),
  stolen: t("stolen", "украдена", "ұрланған"),
  closed: t("closed", "закрыта", "жабылған"),
});
const actors = (): Record<string, string> => ({
  client: t("the fleet itself", "самим клиентом", "клиенттің өзі"),
  issuer_risk: t("the issuer's risk desk", "службой рисков эмитента", "эмитенттің тәуекел қызметі"),
  issuer_credit: t("the issuer's credit desk", "кредитной службой эмитента", "эмитенттің несие қызметі"),
  system: t("a rule", "правилом", "ереже"),
});

/** `SOME_CODE` or `some_code` as words. */
const spoken = (code: string): string => {
  const words = code.replaceAll("_", " ").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
};

export const code = (value: string): string => spoken(value);
export const kind = (value: string): string => kinds()[value] ?? spoken(value);
export const rule = (value: string): string => rules()[value] ?? spoken(value);
export const mode = (value: string): string => modes()[value] ?? value;
export const actor = (value: string): string => actors()[value] ?? value;
/** `null` for a card that can buy. */
export const cardState = (card: Pick<CardLine, "state">): string | null => (card.state === "active" ? null : (states()[card.state] ?? spoken(card.state)));

export function found(finding: RiskFinding): string {
  const measured = finding.measured;
  if ("velocity" in measured) {
    const { purchases, minutes, unusual_from } = measured.velocity;
    return t(
      `${purchases} purchases in ${minutes} min; ${unusual_from} are unusual`,
      `покупок: ${purchases} за ${minutes} мин; необычно начиная с ${unusual_from}`,
      `${minutes} мин ішінде ${purchases} сатып алу; ${unusual_from} және одан көбі әдеттен тыс`,
    );
  }
  const { km, minutes, kmh, kmh_most } = measured.travel;
  const speed = kmh === undefined ? "" : t(`, ${kmh} km/h`, `, ${kmh} км/ч`, `, ${kmh} км/сағ`);
  return t(
    `${km} km in ${minutes} min${speed}; at most ${kmh_most} km/h is believed`,
    `${km} км за ${minutes} мин${speed}; правдоподобно не более ${kmh_most} км/ч`,
    `${minutes} мин ішінде ${km} км${speed}; ең көбі ${kmh_most} км/сағ болуы мүмкін`,
  );
}

/** One line that says why, for everything that is not a plain approval. */
export function reason(line: DecisionLine): string | null {
  const plain = line.verdict === "approve" && line.risk.length === 0 && line.code === "APPROVED";
  return plain ? null : told(line.manager) || code(line.code);
}

/** The last digits of a card, or its token where none are known. */
export function card(line: { card: string; pan_masked?: string }): string {
  const digits = /(\d{2,4})\D*$/u.exec(line.pan_masked ?? "")?.[1];
  return digits ? `•••• ${digits}` : line.card;
}

const measure = (limit: Headroom): string =>
  ({
    volume: t("Litres", "Литры", "Литр"),
    money: t("Money", "Деньги", "Ақша"),
    count: t("Purchases", "Покупки", "Сатып алу"),
  })[limit.measure];

function selected(selector: ProductSelector | undefined): string | null {
  if (selector === undefined || selector === "all") return null;
  return "product" in selector ? product(selector.product).name : selector.group;
}

/** `per day`, `per 2 weeks`, `in any 12 h`. */
export function windowOf(span: Window): string {
  if (span === "per_transaction") return t("per purchase", "за покупку", "бір сатып алуға");
  if (span === "lifetime") return t("ever", "за всё время", "барлық уақытта");
  if (span === "one_off") return t("once", "разово", "бір рет");
  if ("rolling" in span) {
    const length = stretch(span.rolling.secs);
    return t(`in any ${length}`, `за любые ${length}`, `кез келген ${length} ішінде`);
  }
  const { unit, count } = span.calendar;
  if (count <= 1) {
    return {
      day: t("per day", "в день", "күніне"),
      week: t("per week", "в неделю", "аптасына"),
      month: t("per month", "в месяц", "айына"),
      quarter: t("per quarter", "в квартал", "тоқсанына"),
      year: t("per year", "в год", "жылына"),
    }[unit];
  }
  return {
    day: t(`per ${count} days`, `за ${count} дн.`, `${count} күнде`),
    week: t(`per ${count} weeks`, `за ${count} нед.`, `${count} аптада`),
    month: t(`per ${count} months`, `за ${count} мес.`, `${count} айда`),
    quarter: t(`per ${count} quarters`, `за ${count} кв.`, `${count} тоқсанда`),
    year: t(`per ${count} years`, `за ${count} г.`, `${count} жылда`),
  }[unit];
}

export function scope(of: Scope): string {
  if (of === "contract") return t("Whole contract", "Весь договор", "Бүкіл келісімшарт");
  if ("group" in of) return t(`Group ${of.group}`, `Группа ${of.group}`, `Топ: ${of.group}`);
  if ("vehicle" in of) return t(`Vehicle ${of.vehicle}`, `Автомобиль ${of.vehicle}`, `Көлік: ${of.vehicle}`);
  if ("driver" in of) return t(`Driver ${of.driver}`, `Водитель ${of.driver}`, `Жүргізуші: ${of.driver}`);
  return t("Card", "Карта", "Карта");
}

/** What a limit counts and over which time: `Litres of DIESEL per week`. */
export function limit(value: Headroom): string {
  if (value.limit === "balance") return t("Money on the contract", "Деньги на договоре", "Келісімшарттағы ақша");
  return [measure(value), selected(value.product), windowOf(value.span)].filter(Boolean).join(" · ");
}

/** An amount in the unit of the limit. */
export function amount(value: number, of: Headroom, currency: string, exact: boolean): string {
  if (of.measure === "volume") return litres(value);
  if (of.measure === "money") return exact ? money(value, currency) : wholeMoney(value, currency);
  return String(value);
}

export function topUpState(line: TopUpLine): { word: string; tone: "ok" | "wait" | "bad" } {
  switch (line.state) {
    case "register_matched":
      return { word: t("in the register", "есть в реестре", "тізілімде бар"), tone: "ok" };
    case "credited":
      return { word: t("credited, register to come", "зачислено, реестр ожидается", "есепке алынды, тізілім күтілуде"), tone: "wait" };
    case "register_missing":
      return { word: t("missing in the register", "нет в реестре", "тізілімде жоқ"), tone: "bad" };
    case "amount_differs":
      return { word: t("register has another amount", "в реестре другая сумма", "тізілімде басқа сома"), tone: "bad" };
    default:
      return { word: t("payer unknown", "плательщик неизвестен", "төлеуші белгісіз"), tone: "bad" };
  }
}
