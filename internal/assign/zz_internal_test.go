package assign

func (ix *Index[T]) Stats() (leaves, nodes int) {
	for c := range ix.nodes {
		if c.Resolution() == 7 {
			leaves++
		} else {
			nodes++
		}
	}
	return
}
