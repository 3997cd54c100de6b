import { mount } from "svelte"
import App from "./App.svelte"
import { app } from "./app.svelte"
import "./store.css"

await app.start()
mount(App, { target: document.body })

if ("serviceWorker" in navigator)
	void navigator.serviceWorker.register("/store/sw.js", { scope: "/store/" }).catch(() => {})
