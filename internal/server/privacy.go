package server

// eraseOrder takes the recipient out of an order for good.
func (k *call) eraseOrder() error {
	if err := k.decode(&struct{}{}); err != nil {
		return err
	}
	o, err := k.actOn()
	if err != nil {
		return err
	}
	return k.showOrder(k.Privacy.Erase(k.ctx, o.Key))
}
