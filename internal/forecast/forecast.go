// Package forecast turns past demand into laws of coming demand, and those into
// quantities to stock. It is pure: the same input gives the same output to the last
// bit, and it reads no clock, no file and no database.
//
// Stores and SKUs are numbered 0, 1, 2, ... by the caller, days are counted from
// 1 January 1970 ([DayOf]). A [History] takes observations in any order, [Fit] makes a
// [Model] of them, [Model.Ahead] looks at coming days, and [Outlook.At] gives the law of
// one store and SKU:
//
//	h := forecast.NewHistory(stores, skus, forecast.Calendar{})
//	h.Add(forecast.Observation{Store: 0, SKU: 3, Day: day, Units: 2, Open: 1, Price: 1})
//	m := forecast.Fit(h, lastDay)
//	peak := m.Ahead(forecast.Plan{From: lastDay + 3, To: lastDay + 5, Uplift: 4})
//	p := peak.At(0, 3) // p.Law over all three days together, p.Event
//
// # How a forecast is made
//
// Single stores sell a few units of a SKU a day, too few to learn much from. So all is learnt
// from many series together, and a series is believed as far as its own units go (a gamma prior
// and Poisson units: tally.shrunk).
//
//	what is expected = rate * weekday or holiday * price * campaign * drift
//
// The factors are of a category, of a SKU within its class, and of a SKU (factors.go). The rate
// is of a store and SKU, around store size * SKU popularity * taste of region and cell; that
// is all there is for a store or SKU without history (level.go). The drift is what region and SKU
// did in the last days, and is believed as far as it proved right in the last weeks (drift.go).
// A day that ran out of stock counts for the part of it that is seen, and not at all when that is
// less than half (factors.learnPart).
//
// How far days lie from what is expected differs by SKU and store, and grows when a price moves
// (dispersion.go). The last three weeks are foretold from the days before each, and quantiles
// of how far that was off are the quantiles of a single day (residual.go); the laws that plans add
// up are negative binomial ones of the same mean and spread (law.go).
package forecast

import "time"

// DayOf is the day's number, counted from 1 January 1970, of the civil date that t has in
// its own location.
func DayOf(t time.Time) int32 {
	y, m, d := t.Date()
	return int32(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// Store says what a store shares with others. Groups are any small numbers from 0 on.
type Store struct {
	Region int32 // a city, or a coarse cell: its level moves from day to day
	Cell   int32 // an H3 parent: its customers have a common taste
	Since  int32 // first day on which it could sell; only a sparse history asks
}

// SKU says what a SKU shares with others.
type SKU struct {
	Category int32 // shares the rhythm of the week
	Class    int32 // a class within the category: answers alike to prices and promotions
	Since    int32 // first day on which it was on offer; only a sparse history asks
}

// Calendar tells free days from working days where Saturdays and Sundays are not all.
type Calendar struct {
	Free    []int32 // holidays
	Working []int32 // Saturdays and Sundays that are worked
}

// Observation is the demand of one store for one SKU on one day.
type Observation struct {
	Store, SKU int32
	Day        int32
	Units      float32 // sold; never negative
	Open       float32 // share of the day's hours with stock: 1 = never out of it, 0 says nothing of demand
	Price      float32 // paid price over the usual one, 1 = no discount; 0 counts as 1
	Promo      bool    // shown in a campaign
}

// Plan is a window of coming days.
type Plan struct {
	From, To int32   // first and last day
	Price    float32 // as in Observation
	Promo    bool    // shown in a campaign; its factor was learnt from past ones
	Uplift   float64 // times the usual demand, told by who plans the campaign; 0 = 1. Multiplies all else.
}

// Prediction is what a store may sell of a SKU in all days of a plan together.
//
// The laws of several stores are independent but for the event: whether the campaign draws
// more or fewer than expected is the same luck for all. So the laws of a cell add up as
//
//	mean = sum of means, variance = sum of variances + Event*mean*mean
type Prediction struct {
	Law   Law     // units, without the event's luck
	Event float64 // squared coefficient of variation of the luck common to all stores
}
