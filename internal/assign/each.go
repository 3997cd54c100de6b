package assign

// Each visits all stores, in no order, until visit says stop. Writers wait meanwhile.
func (ix *Index[T]) Each(visit func(key int64, v T) (more bool)) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	for key, s := range ix.stores {
		if !visit(key, s.value) {
			return
		}
	}
}
