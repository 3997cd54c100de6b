// Everything the app says, in English; words.zh.ts has the Chinese, which is fetched when it is wanted. A
// type error is a sentence that is missing in one of them.

const first = {
	today: "Today",
	counter: "Counter",
	shelf: "Shelf",
	shop: "My shop",
	back: "Back",
	fewer: "One fewer",
	oneMore: "One more",
	// pairing
	pairTitle: "Welcome",
	pairSay: "Pair this phone with your shop. Your network shows a code on its screen.",
	pairCode: "Pairing code",
	pairGo: "Pair this phone",
	pairing: "Pairing…",
	pairKeyTitle: "I have a key instead",
	pairKey: "Key",
	pairBadCode: "This code is not known, or it is too old. Ask for a new one.",
	pairBadKey: "This is not a key of a shop. Please copy it again.",
	pairNoNet: "No connection. Pairing needs one; everything after works without.",
	unpaired: "This phone is not paired any more. Pair it again; nothing that waits is lost.",
	// the bar on top
	openNow: "Open",
	closedNow: "Closed now",
	paused: "Paused",
	pausedUntil: (time: string) => `Paused until ${time}`,
	stopped: {
		closed: "Closed",
		suspended: "Stopped by your network",
		unresponsive: "No orders: not answering",
	} as Record<string, string>,
	offline: "No connection",
	waiting: (n: number) => (n === 1 ? "1 to send" : `${n} to send`),
	refused: (n: number) => (n === 1 ? "1 was refused" : `${n} were refused`),
	allSent: "All sent",
	full: "This phone is full, so that was not kept. Make some room, then do it again.",
	// today
	nothingTitle: "Nothing to do right now",
	nothingSay: "New orders and prompts appear here by themselves.",
	deliveredToday: (n: number) => (n === 1 ? "1 parcel delivered today" : `${n} parcels delivered today`),
	offers: "New orders",
	offerLeft: (time: string) => `${time} left to answer`,
	accept: "Accept",
	decline: "Decline",
	declined: "Declined",
	declineWhy: "Why not?",
	away: (distance: string) => `${distance} away`,
	parcels: (n: number) => (n === 1 ? "1 parcel" : `${n} parcels`),
	kilos: (n: string) => `${n} kg`,
	prompts: "Please stock",
	promptDeadline: (when: string) => `Answer by ${when}`,
	onShelfBy: (when: string) => `On the shelf by ${when}`,
	unitFee: (money: string) => `${money} for each one sold`,
	forWhat: (campaign: string) => `for ${campaign}`,
	all: (n: number) => `All ${n}`,
	some: "Some",
	none: "None",
	someOf: (n: number, sku: string) => `How many of ${n} × ${sku}?`,
	promise: (n: number) => `I will have ${n}`,
	youSaid: (n: number) => (n === 0 ? "You said none" : `You said ${n}`),
	toShelve: "To put on the shelf",
	counted: "It is on the shelf",
	countedSay: (n: number) => `${n} promised. How many are there?`,
	isThere: (n: number) => `${n} are there`,
	packing: "To pack",
	packed: "Packed",
	ready: "Packed, waiting to go",
	takeAll: (n: number) => (n === 1 ? "Take it along" : `Take all ${n} along`),
	take: "Take along",
	toCounter: "Keep at the counter",
	run: "My run",
	setOut: (n: number) => (n === 1 ? "Set out" : `Set out with ${n} parcels`),
	goOn: "To the door",
	stop: (n: number) => `Stop ${n}`,
	handBack: "Put back",
	giveBack: "I cannot do this one",
	givenBack: "Given back",
	failedTitle: "Not handed over",
	tryAgainNow: "Try again",
	keepHere: "Keep it at the counter",
	sendBack: "Send it back",
	backAtSender: "The sender has it",
	returning: "Going back to the sender",
	atCounter: "Waiting at the counter",
	atCounterSay: (n: number) =>
		n === 1 ? "1 parcel waits for its customer." : `${n} parcels wait for their customers.`,
	minimum: "Photo needed",
	pinNeeded: "PIN needed",
	gift: "Gift",
	inHand: "Hand over in person",
	leaveIt: "Leave at the door",
	collects: "Customer collects",
	doneTitle: "Delivered",
	undoLeft: (s: number) => `Undo (${s})`,
	yesterday: "yesterday",
	tomorrow: "tomorrow",
	todayWord: "today",
	reasons: {
		customer_unavailable: "Nobody there",
		customer_refused: "They do not want it",
		address_not_found: "Cannot find the address",
		cannot_access: "Cannot get in",
		damaged: "The parcel is damaged",
		unsafe_location: "Not safe to leave it",
		weather: "Weather",
		vehicle_breakdown: "Breakdown",
		capacity_exceeded: "Too much to do",
		store_out_of_stock: "Goods are out",
		store_closed: "We are closing",
	} as Record<string, string>,
}

/** Words are all of them; those of later screens come with those screens (words.later.ts). */
export type Words = typeof first & typeof import("./words.later").later

export const en = first as Words

/** language is the first of the wishes that the app speaks, else English. */
export function language(...wishes: (string | undefined)[]): "en" | "zh" {
	for (const wish of wishes) {
		const primary = wish?.toLowerCase().split("-")[0]
		if (primary === "en" || primary === "zh") return primary
	}
	return "en"
}

/** words answers what the app says in a language. */
export const words = async (language: "en" | "zh"): Promise<Words> =>
	language === "zh" ? (await import("./words.zh")).zh : en
