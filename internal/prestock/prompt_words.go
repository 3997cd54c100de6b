package prestock

import (
	"strings"
	"time"
)

// words is everything a store is told, in one language. {…} is filled in; a test sees to it that every
// language fills in the same.
type words struct {
	Lang       string            // ISO 639
	Space      string            // between sentences
	Title      map[string]string // by kind of prompt
	Ask        string            // {units} {sku} {stock}
	Keep       string            // to a store that has promised: {units} {sku} {stock}
	Answer     string            // {ack}
	Over       string            // instead of the three above
	Fee        string            // {fee}
	StepIn     string            // {distance} {units}
	Uplift     string            // {factor}; before one of the next two
	Sells      string            // {cell} {near}
	New        string            // {units}
	Word       string            // {asked} {answered} {promised} {in_time} {counted}
	NoWord     string
	Metres     string // {n}
	Kilometres string // {n}
	Weekdays   [7]string
	Months     [12]string
	Time       string // {weekday} {day} {month} {clock}
	Offset     string // {offset}: behind a time that the clock shows twice
}

var languages = map[string]*words{
	"en": {
		Lang: "en", Space: " ",
		Title: map[string]string{
			First: "{units} × {sku} for {campaign}", Again: "{campaign} is coming: {units} × {sku}",
			Reminder50: "Half the time to answer is over: {sku}", Reminder80: "Last call: {sku}",
		},
		Ask:        "Please have {units} × {sku} on your shelf by {stock}.",
		Keep:       "You promised {units} × {sku}: please count them on your shelf by {stock}.",
		Answer:     "Answer all, some or none by {ack}.",
		Over:       "There is nothing more to do about this.",
		Fee:        "You get {fee} for each one sold.",
		StepIn:     "A store {distance} away cannot have all its units ready; {units} of them would be yours.",
		Uplift:     "The promotion sells {factor} times the usual:",
		Sells:      "your neighbourhood is expected to buy {cell}, and your neighbours have or are asked for {near}.",
		New:        "nothing like it was sold here before; {units} are your share by the room on your shelf.",
		Word:       "You were asked {asked} times and answered {answered}. Of {promised} promises you kept {in_time} in time, {counted} of them in full.",
		NoWord:     "You have not been asked yet.",
		Metres:     "{n} m",
		Kilometres: "{n} km",
		Weekdays:   [7]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"},
		Months:     [12]string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"},
		Time:       "{weekday} {day} {month}, {clock}",
		Offset:     " (UTC{offset})",
	},
	"zh": {
		Lang: "zh",
		Title: map[string]string{
			First: "{campaign}：请备 {sku} {units} 件", Again: "{campaign}临近：{sku} {units} 件",
			Reminder50: "答复时间已过半：{sku}", Reminder80: "最后提醒：{sku}",
		},
		Ask:        "请在{stock}前备好 {sku} {units} 件上架。",
		Keep:       "您已承诺 {sku} {units} 件：请在{stock}前上架并清点。",
		Answer:     "请在{ack}前答复：全部、部分或不备。",
		Over:       "此事已结束，无需再处理。",
		Fee:        "每售出一件您可得 {fee}。",
		StepIn:     "{distance}外的一家店无法备齐，请您分担其中 {units} 件。",
		Uplift:     "促销预计为平时的 {factor} 倍：",
		Sells:      "您所在片区预计售出 {cell} 件，邻近店铺已有或受邀备货 {near} 件。",
		New:        "此前没有同类销售记录，{units} 件按您的货架空间分配。",
		Word:       "我们共请您备货 {asked} 次，您答复了 {answered} 次。到期的 {promised} 次承诺中，按时上架 {in_time} 次，其中足量 {counted} 次。",
		NoWord:     "我们还没有请您备过货。",
		Metres:     "{n} 米",
		Kilometres: "{n} 公里",
		Weekdays:   [7]string{"周日", "周一", "周二", "周三", "周四", "周五", "周六"},
		Months:     [12]string{"1月", "2月", "3月", "4月", "5月", "6月", "7月", "8月", "9月", "10月", "11月", "12月"},
		Time:       "{month}{day}日（{weekday}）{clock}",
		Offset:     "（UTC{offset}）",
	},
}

// wordsFor are those of a BCP 47 tag: of its language whatever its script or region, else English.
func wordsFor(locale string) *words {
	lang, _, _ := strings.Cut(strings.ToLower(locale), "-")
	if w, ok := languages[lang]; ok {
		return w
	}
	return languages["en"]
}

// fillIn puts values in for their {names}: name, value, name, value …
func fillIn(text string, values ...string) string {
	pairs := make([]string, len(values))
	for i, v := range values {
		if pairs[i] = v; i%2 == 0 {
			pairs[i] = "{" + v + "}"
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// clock is t on the clock of zone. A time that is shown twice, because the clock is put back, carries
// its offset.
func (w *words) clock(t time.Time, zone *time.Location) string {
	l := t.In(zone)
	said := fillIn(w.Time, "weekday", w.Weekdays[l.Weekday()], "month", w.Months[l.Month()-1], "day", l.Format("2"), "clock", l.Format("15:04"))
	from, to := l.ZoneBounds()
	wall := func(t time.Time) string { return t.In(zone).Format("2006-01-02 15:04") }
	for _, bound := range []time.Time{from, to} {
		if bound.IsZero() {
			continue
		}
		_, before := bound.Add(-time.Second).In(zone).Zone()
		_, after := bound.In(zone).Zone()
		if back := time.Duration(before-after) * time.Second; back > 0 && (wall(t.Add(back)) == wall(t) || wall(t.Add(-back)) == wall(t)) {
			return said + fillIn(w.Offset, "offset", l.Format("-07:00"))
		}
	}
	return said
}
