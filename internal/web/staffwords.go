package web

// staffWords is everything the pages of those who run the network say in one language; a test sees to
// it that no field is empty. {time}, {n} and {name} are filled in later.
type staffWords struct {
	Help                                   string
	SignInHead, SignIn, Login, Password    string
	Forgot, SignInFailed, WaitFor          string
	SignedOut, Seconds, Minutes            string
	NoHTTPS, NoHTTPSHelp                   string
	FirstHead, FirstSay, MakeAccount       string
	InvitedHead, InvitedSay, SetPassword   string
	NotYet, Name, LoginHint                string
	NewPassword, PasswordHint              string
	DeadHead, DeadSay, DeadFirst           string
	ConsoleHead, ConsoleSay, ConsoleAPI    string
	ToAccount, ToConsole                   string
	AccountHead, SignOut, ChangePassword   string
	Current, ChangeIt, ChangeSay, Sessions string
	Since, Seen, ThisOne, End, EndOthers   string
	People, Invite, InviteFor, InviteSay   string
	RoleLabel, Dispatcher, AdminRole       string
	NewLink, MakeAdmin, MakeDispatcher     string
	Disable, Enable                        string

	Roles    map[string]string
	Statuses map[string]string
	Notices  map[string]string
	Faults   map[string]string // per "field code", else per code, else ""
}

var staffLanguages = map[string]*staffWords{"en": &englishStaff, "zh": &chineseStaff}

var englishStaff = staffWords{
	Help:       "Help",
	SignInHead: "Sign in", SignIn: "Sign in", Login: "Login", Password: "Password",
	Forgot:       "Forgot your password? An administrator of your network can send you a new link.",
	SignInFailed: "Login and password do not belong together.",
	WaitFor:      "Too many wrong tries. Please wait {time}, then try again.",
	SignedOut:    "You have signed out.", Seconds: "{n} s", Minutes: "{n} min",
	NoHTTPS:     "This address is not safe to type a password into.",
	NoHTTPSHelp: "Open it with https:// instead. Whoever runs this server can switch that on with serve --domain, with a certificate of their own, or with a proxy and --trusted-proxies.",
	FirstHead:   "Welcome to Doorstep",
	FirstSay:    "You are the first one here. Make the account that runs this network; you can invite the others afterwards. This link works once.",
	MakeAccount: "Make my account",
	InvitedHead: "Choose your password", InvitedSay: "This link works once and is meant for one person:", SetPassword: "Save and sign in",
	NotYet: "Not yet: please look at the fields below.", Name: "Name", LoginHint: "An e-mail address, or any name in one word.",
	NewPassword: "New password", PasswordHint: "At least 10 characters. Several words are easier to remember and harder to guess than one with symbols.",
	DeadHead: "This link no longer works", DeadSay: "It was used already, is too old, or a newer one has taken its place. Ask an administrator for a new one.",
	DeadFirst:   "No account yet? Starting the server shows a new link. On its machine an administrator can also type:",
	ConsoleHead: "The console is not in this build",
	ConsoleSay:  "You are signed in, and the server works. This program was built without Node, so the dispatch console is missing from it. With Node 20 installed, this builds one that has it:",
	ConsoleAPI:  "Until then everything it does can be done by the API.", ToAccount: "My account", ToConsole: "Console",
	AccountHead: "My account", SignOut: "Sign out", ChangePassword: "Change password", Current: "Present password", ChangeIt: "Change it",
	ChangeSay: "Every other browser you are signed in with has to sign in again.", Sessions: "Where you are signed in",
	Since: "since", Seen: "last used", ThisOne: "This one", End: "Sign out there", EndOthers: "Sign out everywhere else",
	People: "People", Invite: "Invite", InviteFor: "Link for {name}",
	InviteSay: "Send it to this person only. It is shown this once, works once, and ends after three days.",
	RoleLabel: "Role", Dispatcher: "Dispatcher", AdminRole: "Administrator",
	NewLink: "New link", MakeAdmin: "Make administrator", MakeDispatcher: "Make dispatcher", Disable: "Disable", Enable: "Enable",
	Roles:    map[string]string{"admin": "Administrator", "dispatcher": "Dispatcher"},
	Statuses: map[string]string{"active": "active", "invited": "invited", "disabled": "disabled"},
	Notices:  map[string]string{"password-changed": "Your password is changed.", "session-ended": "Done: they are signed out there.", "saved": "Saved."},
	Faults: map[string]string{
		"":                       "This cannot be taken as it is.",
		"password too-short":     "Please use at least 10 characters.",
		"password too-long":      "Please use at most 256 characters.",
		"password guessable":     "That is among the first things others would try.",
		"current_password wrong": "That is not your present password.",
		"login too-short":        "Please use at least 2 characters.",
		"login not-a-word":       "Please use one word, without spaces.",
		"name required":          "Please tell us your name.",
		"name surrounding-space": "Please leave out the space at the beginning or end.",
		"too-long":               "Please make it shorter.",
		"login-taken":            "There is an account with this login.",
		"last-admin":             "Nobody else who can sign in is an administrator: make one first.",
		"account-disabled":       "The account is disabled: enable it first.",
	},
}

var chineseStaff = staffWords{
	Help:       "帮助",
	SignInHead: "登录", SignIn: "登录", Login: "登录名", Password: "密码",
	Forgot:       "忘记密码了？请让您所在网络的管理员给您发一个新链接。",
	SignInFailed: "登录名和密码不匹配。",
	WaitFor:      "尝试次数过多。请等待 {time} 后再试。",
	SignedOut:    "您已退出登录。", Seconds: "{n} 秒", Minutes: "{n} 分钟",
	NoHTTPS:     "在这个地址输入密码不安全。",
	NoHTTPSHelp: "请改用 https:// 打开。服务器的管理者可以用 serve --domain、自己的证书，或带 --trusted-proxies 的代理来启用它。",
	FirstHead:   "欢迎使用 Doorstep",
	FirstSay:    "您是第一位到来的人。请创建管理这个网络的账号，之后可以邀请其他人。此链接只能使用一次。",
	MakeAccount: "创建我的账号",
	InvitedHead: "设置您的密码", InvitedSay: "此链接只能使用一次，仅供一人使用：", SetPassword: "保存并登录",
	NotYet: "还差一点：请检查下面的内容。", Name: "姓名", LoginHint: "电子邮箱，或任意一个不含空格的名字。",
	NewPassword: "新密码", PasswordHint: "至少 10 个字符。几个词语连在一起比带符号的单词更好记，也更难猜。",
	DeadHead: "此链接已失效", DeadSay: "它已被使用、已过期，或已被新的链接取代。请向管理员索取新的链接。",
	DeadFirst:   "还没有账号？启动服务器时会显示新的链接。管理员也可以在服务器上输入：",
	ConsoleHead: "此版本不含控制台",
	ConsoleSay:  "您已登录，服务器运行正常。此程序构建时没有 Node,因此不含调度控制台。安装 Node 20 后，用以下命令可构建带控制台的版本：",
	ConsoleAPI:  "在此之前，控制台的所有功能都可以通过 API 完成。", ToAccount: "我的账号", ToConsole: "控制台",
	AccountHead: "我的账号", SignOut: "退出登录", ChangePassword: "修改密码", Current: "当前密码", ChangeIt: "修改",
	ChangeSay: "您在其他浏览器上需要重新登录。", Sessions: "您的登录设备",
	Since: "登录于", Seen: "最近使用", ThisOne: "当前浏览器", End: "在那里退出", EndOthers: "退出所有其他设备",
	People: "人员", Invite: "邀请", InviteFor: "给 {name} 的链接",
	InviteSay: "请只发给此人。它只显示这一次，只能使用一次，三天后失效。",
	RoleLabel: "角色", Dispatcher: "调度员", AdminRole: "管理员",
	NewLink: "新链接", MakeAdmin: "设为管理员", MakeDispatcher: "设为调度员", Disable: "停用", Enable: "启用",
	Roles:    map[string]string{"admin": "管理员", "dispatcher": "调度员"},
	Statuses: map[string]string{"active": "使用中", "invited": "已邀请", "disabled": "已停用"},
	Notices:  map[string]string{"password-changed": "密码已修改。", "session-ended": "完成：已在那里退出登录。", "saved": "已保存。"},
	Faults: map[string]string{
		"":                       "这样的内容无法接受。",
		"password too-short":     "请至少使用 10 个字符。",
		"password too-long":      "请最多使用 256 个字符。",
		"password guessable":     "这是别人最先会尝试的密码之一。",
		"current_password wrong": "这不是您当前的密码。",
		"login too-short":        "请至少使用 2 个字符。",
		"login not-a-word":       "请使用一个不含空格的词。",
		"name required":          "请填写您的姓名。",
		"name surrounding-space": "请去掉开头或结尾的空格。",
		"too-long":               "请写短一些。",
		"login-taken":            "已有账号使用此登录名。",
		"last-admin":             "没有其他可以登录的管理员：请先设置一位。",
		"account-disabled":       "该账号已停用：请先启用。",
	},
}
