module pilotd.invalid/kube/faultproxy

go 1.26
