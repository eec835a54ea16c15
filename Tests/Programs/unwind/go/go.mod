module border

go 1.18
