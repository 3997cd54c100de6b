package order

import (
	"slices"
	"strings"

	"doorstep/internal/fault"
	"doorstep/internal/plainjson"
)

// Money is an amount in minor units of its currency, which may have none, two or three decimals.
type Money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"` // ISO 4217
}

// maxCash is more than anybody pays at a door, in the smallest unit of the least currency.
const maxCash = 1_000_000_000_000

// currencies are the codes of ISO 4217 that people pay with, sorted; metals, funds and test codes are not.
var currencies = strings.Fields(`AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN
	BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF
	GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL
	LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG
	QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS
	UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG`)

func (m *Money) check(f *fault.Fields, at string) {
	if m.Amount < 1 || m.Amount > maxCash {
		f.Add(at+"/amount", "out-of-range", "1 to %d minor units; leave it out when there is nothing to pay", int64(maxCash))
	}
	if _, known := slices.BinarySearch(currencies, m.Currency); !known {
		f.Add(at+"/currency", "not-a-currency", "three capital letters of ISO 4217, like KES")
	}
}

// Write writes m as a member called name; nothing when m is nil.
func (m *Money) Write(w *plainjson.Writer, name string) {
	if m == nil {
		return
	}
	w.Object(name)
	w.Int("amount", m.Amount)
	w.String("currency", m.Currency)
	w.EndObject()
}

func readMoney(r *plainjson.Reader) *Money {
	m := &Money{}
	for name := r.Object(); name != ""; name = r.Next() {
		switch name {
		case "amount":
			m.Amount = int64(r.Int())
		case "currency":
			m.Currency = r.String()
		default:
			r.GiveUp()
		}
	}
	return m
}
