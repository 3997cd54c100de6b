// The screens of the office: what belongs to no single order. They are loaded when one of them is opened.

/** Place is a screen of the office; admin ones are for administrators. */
export const places = [
	{ name: "import", admin: false },
	{ name: "people", admin: true },
	{ name: "keys", admin: true },
	{ name: "jobs", admin: false },
	{ name: "settings", admin: false },
	{ name: "log", admin: false },
] as const

export type Place = (typeof places)[number]["name"]

/** inOffice is whether a screen is one of the office. */
export const inOffice = (name: string) =>
	name === "manage" || name === "policy" || places.some(place => place.name === name)
