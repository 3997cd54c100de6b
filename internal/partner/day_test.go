package partner

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A day that was worked out says at each of its moments what the store says when it is asked: on
// holidays, on nights when the clocks change, where a midnight or a whole date never was.
func TestADayAnswersAsTheStoreDoes(t *testing.T) {
	hard := []struct{ zone, country, at string }{
		{"Europe/Berlin", "DE", "2026-03-29T01:00Z"},
		{"Europe/Berlin", "DE", "2026-10-25T01:00Z"},
		{"Europe/Berlin", "DE", "2026-12-25T12:00Z"},
		{"America/New_York", "US", "2026-11-01T06:00Z"},
		{"Australia/Lord_Howe", "AU", "2026-10-03T15:30Z"},
		{"America/Sao_Paulo", "BR", "2018-11-04T03:00Z"},
		{"America/St_Johns", "CA", "2006-10-29T02:31Z"},
		{"America/Havana", "", "2026-11-01T05:00Z"},
		{"Pacific/Apia", "", "2011-12-30T10:00Z"},
		{"Asia/Shanghai", "CN", "2026-11-11T00:00Z"},
		{"Asia/Kathmandu", "", "1969-12-31T23:00Z"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		c := rapid.SampledFrom(hard).Draw(rt, "place")
		_, text := drawHours(rt)
		s := Store{SlotMinutes: rapid.SampledFrom([]int{5, 7, 15, 60, 420, 1440}).Draw(rt, "slot"),
			hours: mustHours(t, text), zone: mustZone(t, c.zone, c.country)}
		ms := func(name string, from, until int64) time.Time {
			return time.UnixMilli(rapid.Int64Range(from, until).Draw(rt, name))
		}
		mid, reach := utc(t, c.at).UnixMilli(), (72 * time.Hour).Milliseconds()
		when := ms("when", mid-reach, mid+reach)
		d := s.DayAt(when)
		if !d.Has(when.UnixMilli()) {
			rt.Fatalf("%v is not in its day, %v to %v", when, time.UnixMilli(d.From).UTC(), time.UnixMilli(d.Until).UTC())
		}
		moments := []time.Time{when, time.UnixMilli(d.From), time.UnixMilli(d.Until - 1), ms("other", d.From, d.Until-1)}
		for _, o := range d.Open {
			moments = append(moments, time.UnixMilli(o.From), time.UnixMilli(o.Until-1), time.UnixMilli(o.From-1), time.UnixMilli(o.Until))
		}
		for _, m := range moments {
			m = m.Add(time.Duration(rapid.Int64Range(0, 999_999).Draw(rt, "ns")))
			if !d.Has(m.UnixMilli()) {
				continue
			}
			if d.OpenAt(m.UnixMilli()) != s.OpenAt(m) {
				rt.Fatalf("%q in %s at %v: the store says open %v, its day not", text, c.zone, m.In(s.zone.loc), s.OpenAt(m))
			}
			if got := time.UnixMilli(d.SlotAt(m.UnixMilli())); !got.Equal(s.SlotAt(m)) {
				rt.Fatalf("%s at %v: slot %v, the store says %v", c.zone, m.In(s.zone.loc), got, s.SlotAt(m))
			}
		}
	})
}

func BenchmarkDayAt(b *testing.B) {
	s := Store{SlotMinutes: 60, hours: mustHours(b, "Mo-Sa 11:00-14:00,17:00-22:00; PH off"), zone: mustZone(b, "Europe/Berlin", "DE")}
	when := utc(b, "2026-11-21T10:59Z")
	b.Run("work it out", func(b *testing.B) {
		for b.Loop() {
			s.DayAt(when)
		}
	})
	b.Run("ask it", func(b *testing.B) {
		d, ms := s.DayAt(when), when.UnixMilli()
		for b.Loop() {
			d.OpenAt(ms)
			d.SlotAt(ms)
		}
	})
	b.Run("ask the store", func(b *testing.B) {
		for b.Loop() {
			s.OpenAt(when)
			s.SlotAt(when)
		}
	})
}
