package order

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// What goes into a row is what encoding/json would write, and comes back the same.
func TestWhatAnOrderCarriesSurvivesItsRow(t *testing.T) {
	text := rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[ -~]{0,12}`), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		str := func(label string) string { return text.Draw(t, label) }
		who := Recipient{str("name"), str("phone"), str("locale")}
		what := Details{Address: Address{str("line1"), str("locality"), str("region"), str("postal"), str("country")}, Instructions: str("note"),
			PINRequired: rapid.Bool().Draw(t, "pin"), SignatureRequired: rapid.Bool().Draw(t, "signature"), IDRequired: rapid.Bool().Draw(t, "id")}
		if rapid.Bool().Draw(t, "cash") {
			what.Cash = &Money{rapid.Int64().Draw(t, "amount"), str("currency")}
		}
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			what.Items = append(what.Items, Item{str("sku"), rapid.Int().Draw(t, "quantity")})
			what.Parcels = append(what.Parcels, Parcel{rapid.IntRange(0, 3).Draw(t, "weight")})
			what.Tags = append(what.Tags, str("tag"))
		}
		same := func(got string, v any) {
			if want, _ := json.Marshal(v); got != string(want) {
				t.Fatalf("written %s, want %s", got, want)
			}
		}
		h := rapid.Make[Happened]().Draw(t, "happened")
		same(h.JSON(), h)
		same(who.json(), who)
		same(what.json(), what)
		var whoBack Recipient
		var whatBack Details
		if err := whoBack.parse(who.json()); err != nil {
			t.Fatal(err)
		}
		if err := whatBack.parse(what.json()); err != nil {
			t.Fatal(err)
		}
		var whoWant Recipient
		var whatWant Details
		_, _ = json.Unmarshal([]byte(who.json()), &whoWant), json.Unmarshal([]byte(what.json()), &whatWant)
		if diff := cmp.Diff(whoWant, whoBack) + cmp.Diff(whatWant, whatBack); diff != "" {
			t.Fatalf("came back otherwise (-want +got):\n%s", diff)
		}
	})
}
