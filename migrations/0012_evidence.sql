-- Evidence is corrected by more evidence: an event names the one that it stands in place of, and nothing
-- is edited. Attended drop-offs say who took the parcel, and how; a visit may also be one to the sender.

ALTER TABLE attempt ADD COLUMN leg TEXT NOT NULL DEFAULT 'delivery'; -- delivery, return

ALTER TABLE dropoff_event ADD COLUMN supersedes TEXT NOT NULL DEFAULT ''; -- client_id of an event of the same attempt
ALTER TABLE dropoff_event ADD COLUMN correction BOOLEAN NOT NULL DEFAULT FALSE; -- with a reason; else an undo
ALTER TABLE dropoff_event ADD COLUMN name TEXT NOT NULL DEFAULT ''; -- who took it
ALTER TABLE dropoff_event ADD COLUMN signature TEXT NOT NULL DEFAULT ''; -- sha256 of its photo
ALTER TABLE dropoff_event ADD COLUMN id_checked BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE dropoff_event ADD COLUMN cash_amount BIGINT; -- minor units; NULL: none was asked for or given
ALTER TABLE dropoff_event ADD COLUMN cash_currency TEXT NOT NULL DEFAULT '';
