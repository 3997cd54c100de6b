// What the server misses, by the pointer it names, in the owner's words. What is not here it says itself.

import type { Problem } from "./server"
import type { Words } from "./words"

const en: Record<string, string> = {
	"/photo_sha256": "A photo of the parcel at the door",
	"/location": "Your position at the door: allow it in the browser, and wait a moment outside",
	"/method": "A photo from two steps back",
	"/pin": "The customer's PIN",
	"/name": "The name of who took it",
	"/signature_sha256": "A signature",
	"/id_checked": "A look at their ID",
	"/cash_collected": "The cash",
	"/signal": "A call to the customer, with the button here",
	"/occurred_at": "A few more minutes of waiting at the door",
}

const zh: Record<string, string> = {
	"/photo_sha256": "门口包裹的照片",
	"/location": "您在门口的位置：请在浏览器中允许定位，并在室外稍等",
	"/method": "退后两步拍的照片",
	"/pin": "顾客的 PIN",
	"/name": "收件人姓名",
	"/signature_sha256": "签名",
	"/id_checked": "查看证件",
	"/cash_collected": "现金",
	"/signal": "用此处按钮给顾客打电话",
	"/occurred_at": "在门口再等几分钟",
}

/** lacking is what a refusal misses, one line each. */
export const lacking = (problem: Problem | undefined, language: "en" | "zh"): string[] =>
	(problem?.errors ?? []).map(
		e => (problem?.code === "evidence-missing" && (language === "zh" ? zh : en)[e.pointer]) || e.detail,
	)

/** refusal says what to do about what the server did not take. */
export const refusal = (problem: Problem | undefined, w: Words): string =>
	w.refusals[problem?.errors?.[0]?.code ?? ""] ?? w.refusals[problem?.code ?? ""] ?? w.refusalOther
