module clients/gob-peer

go 1.24.0
