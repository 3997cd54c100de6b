package partner

import "io"

// ReadCSV is every record that is not blank, for comparison with another reader.
func ReadCSV(r io.Reader, comma byte) (all [][]string) {
	rows := newRecords(r, comma)
	for {
		fields, bad, err := rows.next()
		if err != nil {
			return all
		}
		if bad != nil {
			all = append(all, []string{bad.Error()})
		} else if len(fields) > 0 {
			all = append(all, fields)
		}
	}
}
