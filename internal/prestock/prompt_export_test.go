package prestock

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ClockIn is a moment as a language says it on a zone's clock.
func ClockIn(lang string, t time.Time, zone *time.Location) string {
	return wordsFor(lang).clock(t, zone)
}

// Languages are those that stores are told in.
func Languages() []string { return slices.Sorted(maps.Keys(languages)) }

var hole = regexp.MustCompile(`\{[a-z_]+\}`)

// Phrases are the phrases of a language by name, each as what it fills in. An empty phrase is left
// out; so is the space, which not every script has.
func Phrases(lang string) map[string]string {
	found := map[string]string{}
	var collect func(name string, v reflect.Value)
	collect = func(name string, v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			if v.String() != "" && name != "Space" {
				holes := hole.FindAllString(v.String(), -1)
				slices.Sort(holes)
				found[name] = strings.Join(slices.Compact(holes), " ")
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				collect(name+"."+k.String(), v.MapIndex(k))
			}
		case reflect.Array:
			for i := range v.Len() {
				collect(name+"."+string(rune('a'+i)), v.Index(i))
			}
		}
	}
	w := reflect.ValueOf(*languages[lang])
	for i := range w.NumField() {
		collect(w.Type().Field(i).Name, w.Field(i))
	}
	return found
}
