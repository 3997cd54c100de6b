package main

import "doorstep/scripts/bench/goals"

type goal = goals.Goal

// number is as in the lines of goals.
func number(x float64) string { return goals.Number(x) }
