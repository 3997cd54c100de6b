package server

import (
	"net/http"
	"slices"

	"doorstep/internal/db"
	"doorstep/internal/event"
	"doorstep/internal/fault"
)

type wireJob struct {
	Name         string  `json:"name"`
	Schedule     string  `json:"schedule"`
	LastSlot     *stamp  `json:"last_slot"`
	LastState    *string `json:"last_state"`
	LastNote     *string `json:"last_note"`
	LastStarted  *stamp  `json:"last_started_at"`
	LastFinished *stamp  `json:"last_finished_at"`
	NextSlot     *stamp  `json:"next_slot"`
}

func (k *call) jobs() ([]wireJob, error) {
	all, err := k.Jobs.List(k.ctx)
	if err != nil {
		return nil, err
	}
	out := make([]wireJob, len(all))
	for i, j := range all {
		out[i] = wireJob{j.Name, j.Schedule, stampOf(j.LastSlot), optional(j.LastState), optional(j.LastNote),
			stampOf(j.StartedAt), stampOf(j.FinishedAt), stampOf(&j.NextSlot)}
	}
	return out, nil
}

func (k *call) listJobs() error {
	out, err := k.jobs()
	if err != nil {
		return err
	}
	return k.reply(http.StatusOK, newList(k.names, out, false, 0))
}

// runJob answers with the job as it is afterwards: that it failed, and why, is an answer as well.
func (k *call) runJob() error {
	name := k.param("name")
	failed := k.Jobs.RunNow(k.ctx, name, func(tx *db.Tx) error {
		return event.NoteMatter(tx, "job:"+name, "job.started", map[string]any{"job": name})
	})
	if kind := fault.KindOf(failed); kind == fault.NotFound || kind == fault.Conflict {
		return failed
	}
	out, err := k.jobs()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(out, func(j wireJob) bool { return j.Name == name })
	switch {
	case i < 0:
		return fault.Missing("job")
	case failed != nil && (out[i].LastState == nil || *out[i].LastState != "failed"):
		return failed // it never began
	}
	return k.reply(http.StatusOK, out[i])
}
