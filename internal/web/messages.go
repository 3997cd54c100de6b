package web

// words is everything a page says in one language. Templates name its fields,
// and a test sees to it that no field is empty in any language. {store},
// {time}, {distance}, {shop} and {ref} are filled in later.
type words struct {
	Tag, Dir string // the html element's lang and dir

	// Status has a phrase per order status, and per "status/mode" where it
	// depends on how the parcel changes hands.
	Status   map[string]phrase
	Steps    map[step]string
	Reasons  map[string]string // per status_reason
	Next     map[string]string // after a failed attempt, per next action
	Modes    map[string]phrase // a choice and what it means
	Grades   map[string]string // what was recorded, per evidence grade
	Notices  map[string]string // outcomes of forms, and refusals as NoticeOf names them
	Errors   map[string]string // what is wrong with a field, per code or "field/code"
	Problems map[string]string // reasons to dispute
	Reports  map[string]string // how a dispute stands
	Hours    map[string]string // OSM opening hours, token by token
	Days     dayWords

	TheStore, FromShop, Order        string
	Expected, CollectFrom, Late      string
	ProgressTitle, Done              string
	CodeTitle, CodeHint, KeptUntil   string
	PINTitle, PINHint                string
	ProofTitle, Grade, PhotoAlt      string
	TakenBy                          string
	PhotoMissing, ConfirmAsk         string
	Confirm                          string
	MapTitle, MapYou, MapRunnerHere  string
	MapRunnerAway, KeyYou, KeyRunner string
	KeyStore, Metres, Kilometres     string
	WishTitle, WishHow, WishLabel    string
	WishHint, WishSave               string
	HelpTitle, StoreHours, Call      string
	Write, WriteLabel, WriteHint     string
	Send, You, Us                    string
	RateTitle, RateDelivery, Stars   string
	RateComment, RateSend, RateAgain string
	DisputeTitle, DisputeLink        string
	DisputeAsk                       string
	DisputeNote, DisputeNext         string
	DisputeUntil, DisputeSend        string
	ReportTitle, ReportAgain         string
	Withdraw, Extend, GradesTitle    string
	Mistake                          string
	AsOf, Refresh, LiveOn, LiveOff   string
	Privacy                          string

	GoneTitle, GoneSay, GoneHelp string

	HomeTitle, HomeHead, HomeSay    string
	HomeStores, HomeOrders          string
	HomeTracks, HomeTracksSay       string
	HomeAPI, HomeAPISay             string
	HomeContract, HomeContractSay   string
	HomeHealth, HomeHealthSay       string
	HomeConsole, HomeConsoleSay     string
	HomeShop, HomeShopSay           string
	HomeHelp, HomeHelpSay           string
	HomePeaks, HomePeaksSay         string
	HomeNearby, HomeNearbySay       string
	HomeEvidence, HomeEvidenceSay   string
	HomeCurlLabel, HomeWhat, Footer string
}

var languages = map[string]*words{"en": &english, "zh": &chinese}

var english = words{
	Tag: "en", Dir: "ltr",
	Status: map[string]phrase{
		"created":                           {"We have your order", "We are choosing the nearby store that can bring it to you."},
		"unassignable":                      {"We are finding a store for you", "No store nearby can take it just now. We keep looking, and one of our people is looking too."},
		"confirmed":                         {"{store} has your order", "They are packing it now."},
		"ready_for_pickup":                  {"Packed and ready to go", "Your parcel is at {store}, waiting for its runner."},
		"ready_for_pickup/collect_at_store": {"Packed at {store}", "It is being put aside for you. Your collection code appears here when you can come."},
		"picked_up":                         {"Your runner has the parcel", "They are about to leave {store}."},
		"enroute_to_dropoff":                {"On its way to you", "Your runner is bringing it over."},
		"arrived_at_dropoff":                {"Your runner is at your door", "Please open when they ring."},
		"arrived_at_dropoff/leave_at_door":  {"Your runner is at your door", "They put it down, let you know and step away. Open whenever you like."},
		"arrived_at_dropoff/safe_place":     {"Your runner is at your place", "They leave it where you said and let you know."},
		"arrived_at_dropoff/neighbour":      {"Your runner is at your place", "They hand it to your neighbour."},
		"attempt_failed":                    {"We could not hand over your parcel", "It is safe with us."},
		"received_at_store":                 {"Ready to collect at {store}", "Your parcel is kept at the store, not at your door. Show the code below at the counter."},
		"disputed_open":                     {"We are looking into your report", "It is recorded as handed over, and you told us that something is wrong. Nothing is closed until a person has looked."},
		"disputed_upheld":                   {"You are right, and we are sorry", "Something went wrong with this delivery."},
		"hold_over":                         {"Your parcel's time at {store} is over", "It goes back to the sender soon. It is still there: come with the code below, or ask for more time."},
		"delivered":                         {"Delivered to your door", "The runner left it outside for you. Enjoy it!"},
		"delivered/hand_over":               {"Delivered into your hands", "Enjoy it!"},
		"delivered/safe_place":              {"Delivered to your safe place", "The runner left it where you asked. Enjoy it!"},
		"delivered/neighbour":               {"Your neighbour has it for you", "The runner handed it over next door."},
		"collected":                         {"You have your parcel", "Collected at {store}. Enjoy it!"},
		"enroute_to_return":                 {"Going back to the sender", "Your parcel is on its way back. The shop you ordered from can tell you what happens next."},
		"returned":                          {"Back with the sender", "The shop you ordered from can tell you what happens next."},
		"cancelled":                         {"This order was cancelled", "Nothing will be brought to you."},
	},
	Steps: map[step]string{
		stepReceived: "Order received", stepStore: "At {store}", stepPacked: "Packed", stepWay: "On its way",
		stepDoor: "At your door", stepHands: "In your hands", stepSafe: "In your safe place", stepNext: "With your neighbour", stepWaiting: "Waiting for you at {store}", stepCollected: "Collected by you",
		stepTried: "Not handed over", stepBack: "Going back to the sender", stepReturned: "Back with the sender", stepCancelled: "Cancelled",
	},
	Reasons: map[string]string{
		"customer_unavailable":  "Nobody came to the door.",
		"customer_refused":      "The parcel was not accepted at the door.",
		"address_not_found":     "The runner could not find the address.",
		"cannot_access":         "The runner could not get to your door.",
		"damaged":               "The parcel was damaged.",
		"lost":                  "The parcel is missing. We are sorry.",
		"wrong_item":            "It was the wrong item.",
		"item_missing":          "Something was missing from the parcel.",
		"store_closed":          "The store is closed.",
		"store_out_of_stock":    "The store has run out of an item.",
		"store_unresponsive":    "The store did not answer in time.",
		"capacity_exceeded":     "The stores near you are very busy.",
		"vehicle_breakdown":     "The runner's vehicle broke down.",
		"weather":               "The weather made it unsafe to come.",
		"unsafe_location":       "There was no safe place to leave it.",
		"hold_expired":          "It was not collected in time.",
		"cancelled_by_customer": "You asked us to cancel it.",
		"cancelled_by_merchant": "The shop cancelled it.",
		"payment_failed":        "The payment did not go through.",
		"data_error":            "Something was wrong with the order's details.",
	},
	Next: map[string]string{
		"redeliver":      "We will bring it again.",
		"bring_to_store": "A store near you will keep it for you. Your collection code will appear here.",
		"return":         "It will go back to the sender.",
		"forward":        "It is on its way from one store to another; then it goes on to you.",
		"":               "What happens next will appear here soon.",
	},
	Modes: map[string]phrase{
		"leave_at_door":    {"Leave it at my door", "The runner puts it down, lets you know and steps away."},
		"safe_place":       {"Leave it in a safe place", "Say below where: the shed, the porch, behind the pots."},
		"hand_over":        {"Hand it to me", "The runner rings and waits for you."},
		"neighbour":        {"Give it to my neighbour", "Say below who, and which door."},
		"collect_at_store": {"Keep it at the store", "You collect it with a code."},
	},
	Grades: map[string]string{
		"A": "You confirmed that you have it.",
		"B": "A photo, the place, and how it was left or handed over are on record.",
		"C": "A photo is on record.",
		"D": "The runner reported it.",
	},
	Notices: map[string]string{
		NoticeSaved:     "Saved. The store sees your wishes now.",
		NoticeThanks:    "Thank you! We noted that you have it.",
		NoticeExtended:  "Done. The store keeps it longer for you.",
		NoticeReported:  "We have your report. A person looks into it; the answer appears on this page.",
		NoticeWithdrawn: "Glad it turned up. Your report is taken back.",
		NoticeRated:     "Thank you for your rating.",
		NoticeSent:      "Sent. A person reads it; the answer appears on this page.",

		"instructions-too-late":       "The parcel has already been picked up, so this can no longer be changed. You can still send a message below.",
		"retrieved-not-allowed-now":   "The runner has not put it down or handed it over yet, so there is nothing to confirm so far.",
		"extend-hold-not-allowed-now": "The store's hold cannot be extended now.",
		"no-extension-left":           "The store has already kept it as long as it can.",
		"dispute-not-allowed-now":     "A problem can be reported once the parcel is there. Until then, please send a message.",
		"dispute-too-late":            "A problem can be reported within two days, and they are over. Your words are below: send them as a message, and a person reads them.",
		"dispute-decided":             "This was looked into and decided. Your words are below: send them as a message, and a person reads them.",
		"rating-not-allowed-now":      "You can rate it once the parcel is there.",
		"rating-too-late":             "The time to rate this delivery is over.",
		"too-many":                    "That is as many as we can take here. Please call the store instead.",
		"elsewhere":                   "That form was sent from another website, so nothing was changed. If it was you, please use the form here.",
		"mistakes":                    "Not sent yet: please see the marked field.",
		"failed":                      "That did not work, and nothing was changed. Please try again.",
	},
	Errors: map[string]string{
		"too-long":              "That is too long: at most {max} characters.",
		"control-characters":    "Please use plain letters and signs only.",
		"instructions/required": "Say where the safe place is.",
		"mode/contradiction":    "Somebody has to take this parcel in person, so it cannot go that way.",
		"reason/required":       "Please choose what is wrong.",
		"text/required":         "Please write a few words first.",
		"stars/required":        "Please choose stars for at least one of the two.",
		"failed":                "Something here is not right. Please try again.",
	},
	Problems: map[string]string{
		"lost": "It is not here", "item_missing": "Something is missing", "wrong_item": "It is not what I ordered", "damaged": "It is damaged",
		"unsafe_location": "It was left in a bad place", "data_error": "Something else",
	},
	Reports: map[string]string{
		"open":     "We have had your report since {time}. A person is looking into it, with the photo and everything on record. The answer will appear here.",
		"upheld":   "We looked into it and agree with you. The shop you ordered from knows and settles it with you.",
		"rejected": "We looked into it, and what is on record does not bear it out.",
	},
	Hours: map[string]string{
		"Mo": "Mon", "Tu": "Tue", "We": "Wed", "Th": "Thu", "Fr": "Fri", "Sa": "Sat", "Su": "Sun",
		"PH": "Public holidays", "SH": "School holidays", "off": "closed", "24/7": "Always open", "-": "–", ",": ", ",
	},
	Days: dayWords{
		Today: "today", Tomorrow: "tomorrow", Yesterday: "yesterday",
		Weekdays: [7]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
		Months:   [12]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"},
		Date:     "{weekday} 2 {month}", DateYear: "2 {month} 2006",
		At: " at ", By: "by {time}",
	},

	TheStore: "the store", FromShop: "Sent by {shop}", Order: "Order {ref}",
	Expected: "You can expect it", CollectFrom: "Ready to collect", Late: "This is taking longer than we promised. We are sorry; it is still coming.",
	ProgressTitle: "Your parcel's journey", Done: "done",
	PINTitle: "Your PIN", PINHint: "Tell it to the runner when the parcel is in your hands, not before.",
	CodeTitle: "Your collection code", CodeHint: "Show it at the counter of {store}. Keep it to yourself until then.", KeptUntil: "Kept for you until {time}",
	ProofTitle: "How we know", Grade: "Evidence grade {grade}", PhotoAlt: "Your parcel where the runner left it", TakenBy: "{name} took it.",
	PhotoMissing: "No photo was taken.", ConfirmAsk: "Do you have it?", Confirm: "Yes, I have it",
	MapTitle: "Your neighbourhood", MapYou: "Your area is marked on the map.", MapRunnerHere: "Your runner is in your area.",
	MapRunnerAway: "Your runner is about {distance} away.", KeyYou: "Your area", KeyRunner: "Runner's area", KeyStore: "Store's area",
	Metres: "%d m", Kilometres: "%.1f km",
	WishTitle: "Your wishes", WishHow: "How would you like to get it?", WishLabel: "A note for the runner",
	WishHint: "Door colour, floor, a safe place, a neighbour. You can change it until the parcel is picked up.", WishSave: "Save my wishes",
	HelpTitle: "A person to talk to", StoreHours: "Opening hours", Call: "Call the store",
	Write: "Write to us", WriteLabel: "Your message", WriteHint: "Somebody who can see your order reads it. The answer appears here.", Send: "Send message", You: "You", Us: "Answer",
	RateTitle: "How was it?", RateDelivery: "The delivery", Stars: "{n} of 5 stars", RateComment: "Anything to add?", RateSend: "Send rating", RateAgain: "You can change your rating until {time}.",
	DisputeTitle: "Report a problem", DisputeLink: "Something wrong? Tell us", DisputeAsk: "What is wrong?", DisputeNote: "What happened?", DisputeSend: "Send report",
	DisputeNext:  "What happens next: a person looks into it, with the photo and everything on record, and nothing about this delivery is changed meanwhile. The answer appears on this page.",
	DisputeUntil: "You can report a problem until {time}.",
	ReportTitle:  "Your report", ReportAgain: "If you see it differently, you can report it once more until {time}.", Withdraw: "It turned up: take my report back",
	Extend: "Keep it longer for me", GradesTitle: "What the grades mean", Mistake: "Please check",
	AsOf: "As of {time}.", Refresh: "Refresh", LiveOn: "This page keeps itself up to date.", LiveOff: "No connection. Trying again…",
	Privacy: "Only people with this link can see this page. The runner's area shows only while your parcel is with them.",

	GoneTitle: "This link leads nowhere now",
	GoneSay:   "It may have been mistyped, or it has stopped working, as our links do some time after a parcel has found its way.",
	GoneHelp:  "Waiting for something? Open the newest message about your order, or ask the shop you bought it from to send you a new link.",

	HomeTitle: "Doorstep", HomeHead: "The corner shop brings it to your door",
	HomeSay:    "Doorstep turns neighbourhood stores into a delivery network. A shop sends an order; Doorstep finds the store around the corner, sees the parcel to the doorstep, and can prove what happened.",
	HomeStores: "stores", HomeOrders: "orders",
	HomeTracks: "See what a customer sees", HomeTracksSay: "Live tracking pages from the demo city. They need no app, no account and no JavaScript.",
	HomeAPI: "Send a first order", HomeAPISay: "Paste this into a terminal. The answer names the store, the promise and a tracking link.",
	HomeContract: "The API contract", HomeContractSay: "Every path and field, as OpenAPI",
	HomeHealth: "Health", HomeHealthSay: "Is this server alive?",
	HomeConsole: "Console", HomeConsoleSay: "Sign in and see what goes on.",
	HomeShop: "For shops", HomeShopSay: "Pair a phone: orders, stock, drop-offs.",
	HomeHelp: "Help", HomeHelpSay: "For stores, dispatchers and engineers.",
	HomePeaks: "Ready before the peak", HomePeaksSay: "Stores hear early what to stock, and say what they can.",
	HomeNearby: "The nearest store that can", HomeNearbySay: "Open, in reach, with room and the goods on the shelf.",
	HomeEvidence: "Put down, step away, proven", HomeEvidenceSay: "Photo, place and step-away make a grade everyone can see.",
	HomeCurlLabel: "Example command", HomeWhat: "What it does", Footer: "Doorstep: from the store around the corner",
}

var chinese = words{
	Tag: "zh-Hans", Dir: "ltr",
	Status: map[string]phrase{
		"created":                           {"已收到您的订单", "我们正在为您挑选附近合适的门店。"},
		"unassignable":                      {"正在为您寻找门店", "附近暂时没有门店能接单。我们会继续寻找，工作人员也在跟进。"},
		"confirmed":                         {"{store}已接单", "店里正在打包。"},
		"ready_for_pickup":                  {"已打包，等待取件", "包裹在{store}，正等配送员来取。"},
		"ready_for_pickup/collect_at_store": {"{store}已打包", "店里正在为您留存包裹。可以来取时，取件码会显示在这里。"},
		"picked_up":                         {"配送员已取到包裹", "马上从{store}出发。"},
		"enroute_to_dropoff":                {"正在送来的路上", "配送员正带着包裹过来。"},
		"arrived_at_dropoff":                {"配送员到您门口了", "听到门铃请开门。"},
		"arrived_at_dropoff/leave_at_door":  {"配送员到您门口了", "配送员会放下包裹、通知您，然后走开。您方便时再开门即可。"},
		"arrived_at_dropoff/safe_place":     {"配送员到您这里了", "配送员会把包裹放在您指定的地方并通知您。"},
		"arrived_at_dropoff/neighbour":      {"配送员到您这里了", "配送员会把包裹交给您的邻居。"},
		"attempt_failed":                    {"这次没能把包裹交给您", "包裹由我们妥善保管。"},
		"received_at_store":                 {"请到{store}取包裹", "包裹保管在店里，不在您家门口。到柜台出示下面的取件码即可。"},
		"disputed_open":                     {"我们正在核实您的反馈", "记录显示已交付，而您告诉我们有问题。工作人员核实之前，此事不会了结。"},
		"disputed_upheld":                   {"您是对的，非常抱歉", "这次配送出了问题。"},
		"hold_over":                         {"包裹在{store}的保管时间已到", "包裹很快会退回寄件人，但现在还在店里：请凭下面的取件码来取，或申请多保管几天。"},
		"delivered":                         {"已送达您家门口", "配送员把包裹放在了您的门外，请查收。"},
		"delivered/hand_over":               {"已当面交到您手中", "祝您使用愉快。"},
		"delivered/safe_place":              {"已送达您指定的地方", "配送员把包裹放在了您指定的地方，请查收。"},
		"delivered/neighbour":               {"包裹已交给您的邻居", "请向邻居领取。"},
		"collected":                         {"您已取走包裹", "取件地点：{store}。祝您使用愉快。"},
		"enroute_to_return":                 {"正在退回寄件人", "包裹正在退回。后续安排请咨询您下单的商家。"},
		"returned":                          {"已退回寄件人", "后续安排请咨询您下单的商家。"},
		"cancelled":                         {"订单已取消", "这一单不会再配送。"},
	},
	Steps: map[step]string{
		stepReceived: "已下单", stepStore: "在{store}", stepPacked: "已打包", stepWay: "配送中",
		stepDoor: "到您家门口", stepHands: "交到您手中", stepSafe: "放在指定地方", stepNext: "交给邻居", stepWaiting: "在{store}等您来取", stepCollected: "您已取走",
		stepTried: "未能交付", stepBack: "正在退回寄件人", stepReturned: "已退回寄件人", stepCancelled: "已取消",
	},
	Reasons: map[string]string{
		"customer_unavailable":  "门口无人应答。",
		"customer_refused":      "包裹在门口被拒收。",
		"address_not_found":     "配送员没有找到地址。",
		"cannot_access":         "配送员无法到达您的门口。",
		"damaged":               "包裹有破损。",
		"lost":                  "包裹丢失了，非常抱歉。",
		"wrong_item":            "商品不符。",
		"item_missing":          "包裹里缺少商品。",
		"store_closed":          "门店已打烊。",
		"store_out_of_stock":    "门店有商品售罄。",
		"store_unresponsive":    "门店没有及时回复。",
		"capacity_exceeded":     "您附近的门店都很忙。",
		"vehicle_breakdown":     "配送车辆出了故障。",
		"weather":               "天气恶劣，无法安全配送。",
		"unsafe_location":       "没有安全的地方放置包裹。",
		"hold_expired":          "包裹逾期未取。",
		"cancelled_by_customer": "应您的要求取消。",
		"cancelled_by_merchant": "商家取消了订单。",
		"payment_failed":        "付款没有成功。",
		"data_error":            "订单信息有误。",
	},
	Next: map[string]string{
		"redeliver":      "我们会再送一次。",
		"bring_to_store": "附近的门店会替您保管，取件码会显示在这里。",
		"return":         "包裹将退回寄件人。",
		"forward":        "包裹正从一家门店转往另一家，之后会继续送到您那里。",
		"":               "后续安排很快会显示在这里。",
	},
	Modes: map[string]phrase{
		"leave_at_door":    {"放在门口", "配送员放下包裹、通知您，然后走开。"},
		"safe_place":       {"放在安全的地方", "请在下面写明位置：储物间、门廊、花盆后面。"},
		"hand_over":        {"当面交给我", "配送员按门铃并等您开门。"},
		"neighbour":        {"交给邻居", "请在下面写明是谁、哪一户。"},
		"collect_at_store": {"留在店里", "您凭取件码到店领取。"},
	},
	Grades: map[string]string{
		"A": "您已确认收到。",
		"B": "已留存照片、位置，以及放置或交接的记录。",
		"C": "已留存照片。",
		"D": "由配送员报告。",
	},
	Notices: map[string]string{
		NoticeSaved:     "已保存，门店现在可以看到。",
		NoticeThanks:    "谢谢！已记录您收到包裹。",
		NoticeExtended:  "好的，门店会为您多保管几天。",
		NoticeReported:  "已收到您的反馈。工作人员会处理，答复会显示在本页。",
		NoticeWithdrawn: "找到了就好。您的反馈已撤回。",
		NoticeRated:     "谢谢您的评价。",
		NoticeSent:      "已发送。工作人员会查看，答复会显示在本页。",

		"instructions-too-late":       "包裹已被取走，无法再修改。您仍可在下面留言。",
		"retrieved-not-allowed-now":   "配送员还没有放下或交付包裹，暂时不需要确认。",
		"extend-hold-not-allowed-now": "现在无法延长保管时间。",
		"no-extension-left":           "门店的保管时间已经到了上限。",
		"dispute-not-allowed-now":     "包裹到了之后才能反馈问题。在此之前请留言。",
		"dispute-too-late":            "反馈问题的两天期限已过。您写的内容在下面，可以作为留言发送，工作人员会查看。",
		"dispute-decided":             "此事已处理完毕。您写的内容在下面，可以作为留言发送，工作人员会查看。",
		"rating-not-allowed-now":      "包裹到了之后才能评价。",
		"rating-too-late":             "这次配送的评价期限已过。",
		"too-many":                    "这里已经不能再接收更多内容，请致电门店。",
		"elsewhere":                   "该表单来自其他网站，没有做任何更改。如果是您本人，请使用本页的表单。",
		"mistakes":                    "尚未发送：请看标出的栏目。",
		"failed":                      "操作没有成功，没有做任何更改。请再试一次。",
	},
	Errors: map[string]string{
		"too-long":              "内容太长，请不要超过{max}字。",
		"control-characters":    "请只使用普通文字和符号。",
		"instructions/required": "请写明安全的位置。",
		"mode/contradiction":    "这个包裹必须当面交付，不能选择这种方式。",
		"reason/required":       "请选择出了什么问题。",
		"text/required":         "请先写几句话。",
		"stars/required":        "请至少为其中一项选择星级。",
		"failed":                "这里填写有误，请再试一次。",
	},
	Problems: map[string]string{
		"lost": "我没有收到", "item_missing": "缺少东西", "wrong_item": "不是我订的", "damaged": "有破损",
		"unsafe_location": "放的地方不合适", "data_error": "其他问题",
	},
	Reports: map[string]string{
		"open":     "我们于{time}收到您的反馈。工作人员正在结合照片和全部记录进行核实，答复会显示在这里。",
		"upheld":   "经核实，我们同意您的意见。您下单的商家已知悉，会与您处理。",
		"rejected": "经核实，现有记录不能支持您的反馈。",
	},
	Hours: map[string]string{
		"Mo": "周一", "Tu": "周二", "We": "周三", "Th": "周四", "Fr": "周五", "Sa": "周六", "Su": "周日",
		"PH": "节假日", "SH": "学校假期", "off": "休息", "closed": "休息", "open": "营业", "24/7": "全天营业", "-": "–", ",": "、",
	},
	Days: dayWords{
		Today: "今天", Tomorrow: "明天", Yesterday: "昨天",
		Weekdays: [7]string{"周日", "周一", "周二", "周三", "周四", "周五", "周六"},
		Months:   [12]string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"},
		Date:     "{month}月2日{weekday}", DateYear: "2006年{month}月2日",
		At: " ", By: "{time}前",
	},

	TheStore: "门店", FromShop: "寄件商家：{shop}", Order: "订单 {ref}",
	Expected: "预计到达", CollectFrom: "预计可取", Late: "比承诺的时间晚了，非常抱歉。包裹仍在配送。",
	ProgressTitle: "包裹动态", Done: "已完成",
	PINTitle: "您的验证码", PINHint: "包裹到您手中后再告诉配送员。",
	CodeTitle: "您的取件码", CodeHint: "请到{store}柜台出示。取件前请勿告诉他人。", KeptUntil: "为您保管至{time}",
	ProofTitle: "送达凭证", Grade: "凭证等级 {grade}", PhotoAlt: "配送员放置包裹的照片", TakenBy: "由{name}收下。",
	PhotoMissing: "没有拍照。", ConfirmAsk: "您拿到包裹了吗？", Confirm: "是的，我拿到了",
	MapTitle: "您的街区", MapYou: "地图上标出了您所在的区域。", MapRunnerHere: "配送员就在您所在的区域。",
	MapRunnerAway: "配送员离您大约 {distance}。", KeyYou: "您的区域", KeyRunner: "配送员区域", KeyStore: "门店区域",
	Metres: "%d 米", Kilometres: "%.1f 公里",
	WishTitle: "您的要求", WishHow: "您希望怎样收货？", WishLabel: "给配送员的留言",
	WishHint: "门的颜色、楼层、安全的位置、邻居。包裹被取走之前都可以修改。", WishSave: "保存要求",
	HelpTitle: "联系人工", StoreHours: "营业时间", Call: "致电门店",
	Write: "给我们留言", WriteLabel: "您的留言", WriteHint: "能看到您订单的工作人员会查看，答复会显示在这里。", Send: "发送留言", You: "您", Us: "答复",
	RateTitle: "您觉得怎么样？", RateDelivery: "配送", Stars: "{n}星（共5星）", RateComment: "还想说点什么？", RateSend: "提交评价", RateAgain: "在{time}之前可以修改评价。",
	DisputeTitle: "反馈问题", DisputeLink: "有问题？告诉我们", DisputeAsk: "出了什么问题？", DisputeNote: "发生了什么？", DisputeSend: "提交反馈",
	DisputeNext:  "接下来：工作人员会结合照片和全部记录进行核实，期间这次配送的记录不会更改。答复会显示在本页。",
	DisputeUntil: "在{time}之前可以反馈问题。",
	ReportTitle:  "您的反馈", ReportAgain: "如果您有不同意见，在{time}之前可以再反馈一次。", Withdraw: "找到了，撤回我的反馈",
	Extend: "请多保管几天", GradesTitle: "等级说明", Mistake: "请检查",
	AsOf: "截至{time}。", Refresh: "刷新", LiveOn: "本页会自动更新。", LiveOff: "网络断开，正在重试……",
	Privacy: "只有拿到此链接的人才能看到本页。配送员的区域只在包裹由其携带时显示。",

	GoneTitle: "这个链接失效了",
	GoneSay:   "可能是输入有误，也可能链接已过期：包裹有了着落之后，过一段时间链接就会停用。",
	GoneHelp:  "还在等包裹？请打开最新的订单消息，或请您下单的商家重新发送链接。",

	HomeTitle: "Doorstep", HomeHead: "街角小店，送到家门口",
	HomeSay:    "Doorstep 把街坊门店连成配送网络。商家发来订单，Doorstep 找到街角的门店，把包裹送到家门口，并且有据可查。",
	HomeStores: "家门店", HomeOrders: "笔订单",
	HomeTracks: "看看顾客看到什么", HomeTracksSay: "演示城市中的实时跟踪页面。不需要应用、账号或 JavaScript。",
	HomeAPI: "发送第一笔订单", HomeAPISay: "把下面的命令粘贴到终端。返回结果里有门店、承诺时间和跟踪链接。",
	HomeContract: "API 规范", HomeContractSay: "全部路径和字段，OpenAPI 格式",
	HomeHealth: "健康检查", HomeHealthSay: "服务器是否正常？",
	HomeConsole: "控制台", HomeConsoleSay: "登录并查看全局。",
	HomeShop: "店铺应用", HomeShopSay: "绑定手机：订单、备货、派送。",
	HomeHelp: "帮助", HomeHelpSay: "写给门店、调度员和工程师。",
	HomePeaks: "高峰之前备好货", HomePeaksSay: "门店提前知道该备什么，并答复能备多少。",
	HomeNearby: "最近且能送的门店", HomeNearbySay: "在营业、够得着、有余力、货架上有货。",
	HomeEvidence: "放下、走开、有据可查", HomeEvidenceSay: "照片、位置和离开记录，评出人人可见的等级。",
	HomeCurlLabel: "示例命令", HomeWhat: "它做什么", Footer: "Doorstep：来自街角的小店",
}
